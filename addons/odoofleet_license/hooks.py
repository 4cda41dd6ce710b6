"""What data files cannot say the same way in every series of Odoo."""
from odoo import SUPERUSER_ID, api

from .models.parameters import NAMES


def installed(env_or_cr, registry=None):
    """Makes the daily job. Odoo 17 and later hand over an environment, older ones a cursor."""
    env = _environment(env_or_cr)
    values = {
        "name": "OdooFleet: check the licence",
        "model_id": env["ir.model"]._get("odoofleet.license").id,
        "state": "code",
        "code": "model._check()",
        "user_id": SUPERUSER_ID,
        "interval_number": 1,
        "interval_type": "days",
        "active": True,
    }
    cron = env["ir.cron"]
    if "numbercall" in cron._fields:
        values["numbercall"] = -1
    job = cron.create(values)
    # The name makes Odoo remove the job with the module; noupdate keeps it through updates.
    env["ir.model.data"].create({
        "module": "odoofleet_license", "name": "daily", "model": "ir.cron", "res_id": job.id, "noupdate": True,
    })
    env["odoofleet.license"]._check()


def uninstalled(env_or_cr, registry=None):
    """Takes away what the database remembers."""
    env = _environment(env_or_cr)
    env["ir.config_parameter"].sudo().search([("key", "in", list(NAMES))]).unlink()


def _environment(env_or_cr):
    return env_or_cr if isinstance(env_or_cr, api.Environment) else api.Environment(env_or_cr, SUPERUSER_ID, {})
