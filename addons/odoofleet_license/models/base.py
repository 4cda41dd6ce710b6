from odoo import api, models
from odoo.http import request


class Base(models.AbstractModel):
    """Writes of internal users are refused while the licence restricts them; reading, jobs and outsiders go on."""

    _inherit = "base"

    @api.model_create_multi
    def create(self, vals_list):
        self._odoofleet_license_guard()
        return super().create(vals_list)

    def write(self, vals):
        self._odoofleet_license_guard()
        return super().write(vals)

    def unlink(self):
        self._odoofleet_license_guard()
        return super().unlink()

    def _odoofleet_license_guard(self):
        # Without a request there is nobody whom to refuse: jobs, the shell, start and upgrade.
        if not request or self.env.su or "odoofleet.license" not in self.env:
            return
        http = request.httprequest
        by_session = bool(request.session and request.session.uid == self.env.uid)
        asked = (getattr(request, "params", None) or {}).get("model")
        asked = asked if isinstance(asked, str) and http.path.startswith("/web/dataset/") else None
        checked = getattr(request, "_odoofleet_license_checked", ())
        if self.env.uid not in checked:
            self.env["odoofleet.license"]._refuse_write(http.path, by_session, asked)
            # One answer for all writes of a request.
            request._odoofleet_license_checked = (*checked, self.env.uid)
