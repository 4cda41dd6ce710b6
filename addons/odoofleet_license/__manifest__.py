{
    "name": "OdooFleet licence",
    "summary": "Checks a licence code without a network, says when it ends, and lets modules ask for features",
    # Without a series, so that one tree installs on Odoo 15 to 19.
    "version": "1.0.0",
    "author": "OdooFleet contributors",
    "license": "LGPL-3",
    "category": "Technical",
    "depends": ["base", "web"],
    "data": ["views/page.xml", "views/banner.xml", "views/menu.xml"],
    "post_init_hook": "installed",
    "uninstall_hook": "uninstalled",
}
