from . import controllers, models
from .hooks import installed, uninstalled
