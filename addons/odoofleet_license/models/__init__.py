from . import base, ir_http, license, res_users
