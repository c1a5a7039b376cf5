"""How Sphinx builds the pages: ``python -m sphinx -W -b html doc doc/_build/html``."""

import os
import warnings
from pathlib import Path

import matplotlib as mpl
from sphinx_gallery.sorting import FileNameSortKey

import mne_facet

mpl.use("agg")
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "mne-facet"
author = "The mne-facet developers"
copyright = author  # noqa: A001
version = release = mne_facet.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**.inc"]
templates_path = ["_templates"]
numpydoc_show_class_members = False
autosummary_generate = True
python_use_unqualified_type_names = True

# every reference to this package must be found; those to others only with a network,
# for which DOC_LINKS=1 is to be set
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(joblib|matplotlib|mne|mne_bids|numpy|pandas|pathlib|sklearn)\..*"),
]
if os.environ.get("DOC_LINKS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "joblib": ("https://joblib.readthedocs.io/en/stable/", None),
        "mne": ("https://mne.tools/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
    }


class ReadingOrder(FileNameSortKey):
    """First what one starts with, then by name."""

    first = """
        first_correction triggers lowrank tr_locked pulse pulse_ica carbon_wires compare
        grid_search report study scaling own_step
    """.split()  # noqa: SIM905

    def __call__(self, filename):
        """Key of a script."""
        name = Path(filename).stem.removeprefix("plot_")
        place = self.first.index(name) if name in self.first else len(self.first)
        return place, name


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": "benchmarks",
    "within_subsection_order": ReadingOrder,
    "doc_module": ("mne_facet",),
    "backreferences_dir": "generated/backreferences",
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "image_scrapers": ("matplotlib",),
    "image_srcset": ["2x"],
}
# the sorting class is part of the configuration and cannot be pickled
suppress_warnings = ["config.cache"]

plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 130)]

html_theme = "pydata_sphinx_theme"
html_title = "mne-facet"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "start": [], "changelog": []}
