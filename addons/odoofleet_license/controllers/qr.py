"""A QR code as a path of SVG. Odoo's own picture of one needs fonts that many machines lack; its library only counts dots."""
try:
    from reportlab.graphics.barcode.qrencoder import QRCode, QRErrorCorrectLevel
except ImportError:
    QRCode = None


def picture(text):
    """(side, path), or None where Odoo's library is another one: the text stands beside it all the same."""
    if QRCode is None:
        return None
    code = QRCode(None, QRErrorCorrectLevel.L)
    code.addData(text)
    code.make()
    side = code.getModuleCount()
    dots = ((row, column) for row in range(side) for column in range(side) if code.isDark(row, column))
    # Four empty dots around it belong to a QR code.
    return side + 8, "".join("M%d %dh1v1h-1z" % (column + 4, row + 4) for row, column in dots)
