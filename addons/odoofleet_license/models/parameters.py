"""Where a database keeps its codes and what it remembers: one place knows Odoo's parameters."""
CODES = "odoofleet_license.codes"
MEMORY = "odoofleet_license.memory"
NAMES = (CODES, MEMORY)


def read(env, name):
    """A parameter as text, or an empty one."""
    return env["ir.config_parameter"].sudo().get_param(name) or ""


def write(env, name, value):
    """Sets a parameter, if it is another one: every worker has to read it again."""
    if read(env, name) != value:
        env["ir.config_parameter"].sudo().set_param(name, value)
