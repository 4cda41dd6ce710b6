from . import home, page
