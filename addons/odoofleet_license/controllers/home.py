from odoo import http
from odoo.http import request

from ..olic import effects

try:
    from odoo.addons.web.controllers.home import Home
except ImportError:
    # Odoo 15 has all of the web client's controllers in one file.
    from odoo.addons.web.controllers.main import Home


class LicensedHome(Home):
    @http.route()
    def web_client(self, s_action=None, **kw):
        """The licence page in place of the web client, for whom the licence stops; Odoo checks the session first."""
        response = super().web_client(s_action=s_action, **kw)
        if response.status_code == 200 and request.session.uid:
            license = request.env(user=request.session.uid)["odoofleet.license"]
            if effects.refuses_web_client(license._verdict().restricted, license._who()):
                return request.redirect("/odoofleet/license", 303)
        return response
