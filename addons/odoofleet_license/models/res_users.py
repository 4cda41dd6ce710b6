from odoo import api, models
from odoo.exceptions import UserError

from ..olic import effects, words


class ResUsers(models.Model):
    _inherit = "res.users"

    def _update_last_login(self):
        result = super()._update_last_login()
        self.env["odoofleet.license"].sudo()._check()
        return result

    @api.model_create_multi
    def create(self, vals_list):
        before = self._odoofleet_license_users()
        users = super().create(vals_list)
        self._odoofleet_license_limit(before)
        return users

    def write(self, vals):
        before = self._odoofleet_license_users()
        result = super().write(vals)
        self._odoofleet_license_limit(before)
        return result

    def _odoofleet_license_users(self):
        """Nobody counts while modules are installed or updated: users that they bring must not stop that."""
        return self.env["odoofleet.license"]._users() if self.pool.ready else None

    def _odoofleet_license_limit(self, before):
        if before is None:
            return
        license = self.env["odoofleet.license"]
        after = license._users()
        if after <= before:
            return
        claims = license._verdict().claims
        limit = claims.max_users if claims else None
        if effects.refuses_new_user(limit, before, after):
            raise UserError(words.label("too_many_users", license._language(), limit=limit))
