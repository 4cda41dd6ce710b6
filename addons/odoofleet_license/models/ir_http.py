from odoo import models


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    def session_info(self):
        info = super().session_info()
        if self.env.user.has_group("base.group_user"):
            info["odoofleet_license"] = self.env["odoofleet.license"]._session()
        return info
