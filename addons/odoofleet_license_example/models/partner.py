from odoo import models

FEATURE = "partner-score"


class Partner(models.Model):
    _inherit = "res.partner"

    def odoofleet_example_score(self):
        """A thing that only some plans include: ask before the work, and let the sentence reach the person who clicked."""
        self.env["odoofleet.license"].require(FEATURE)
        return {partner.id: len(partner.name or "") for partner in self}

    def odoofleet_example_available(self):
        """Where something is to be hidden rather than refused, look at the status."""
        status = self.env["odoofleet.license"].status()
        return FEATURE in status["features"] and not status["restricted"]
