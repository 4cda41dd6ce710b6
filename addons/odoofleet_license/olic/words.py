"""All that people read, in English and in Chinese."""
import datetime

# Why a code is refused or what a database's state rests on. The names stay; docs/licence-format.md lists them.
REASONS = {
    "Valid": ("The licence is valid.", "授权有效。"),
    "EndsSoon": ("The licence ends soon.", "授权即将到期。"),
    "InGrace": ("The licence has ended; the grace period runs.", "授权已到期，正处于宽限期。"),
    "Expired": ("The licence has ended, and so has its grace period.", "授权已到期，宽限期也已结束。"),
    "NotYetValid": ("The licence has not begun yet.", "授权尚未开始生效。"),
    "ForeignDatabase": (
        "The code was issued for another database. A database that was copied or restored as a copy has a new number: "
        "send the request below and ask for a code for it.",
        "授权码是为另一个数据库签发的。数据库被复制或以“副本”方式还原后会得到新的编号：请把下面的申请码发给供应商，换取新的授权码。",
    ),
    "Revoked": ("The licence was revoked. Ask your supplier.", "授权已被吊销，请联系供应商。"),
    "NoCode": ("No licence code was entered yet.", "尚未录入授权码。"),
    "NoKey": (
        "This copy of the add-on trusts no key, so that it cannot prove any code. Ask your supplier for a complete one.",
        "此授权模块未内置任何公钥，无法验证授权码。请向供应商索取完整的模块。",
    ),
    "FromTheFuture": (
        "The code was issued more than 30 days after today's date on this server. Put the server's clock right, then enter it again.",
        "授权码的签发日期比本服务器的当前日期晚 30 天以上。请校正服务器时间后重新录入。",
    ),
    "Superseded": (
        "A newer code of this licence was entered before. Enter the newest one.",
        "此授权已录入过更新的授权码，请录入最新的一份。",
    ),
    "SequenceUsedTwice": (
        "Another code with the same number of this licence is here already. Ask your supplier for a new one.",
        "此授权已有一份编号相同但内容不同的授权码，请向供应商索取新的授权码。",
    ),
    "Empty": ("There is no code in what was entered.", "录入的内容为空，没有授权码。"),
    "TooLong": ("That is too long for a licence code.", "内容过长，不是授权码。"),
    "NotACode": ("A licence code begins with “OLIC1.”; this text does not.", "授权码以“OLIC1.”开头，录入的内容不是。"),
    "UnknownFormat": (
        "The code has a newer form than this add-on knows. Update the add-on.",
        "授权码的格式比本模块支持的更新，请升级授权模块。",
    ),
    "UnknownVersion": (
        "The code says things that this add-on does not know. Update the add-on.",
        "授权码的内容版本比本模块支持的更新，请升级授权模块。",
    ),
    "Cut": ("A part of the code is missing. Copy it from the first letter to the last.", "授权码不完整，请从头到尾完整复制。"),
    "TooMuch": ("Something follows the code. Copy the code alone.", "授权码后面多出了内容，请只复制授权码本身。"),
    "ChangedDash": (
        "A word processor or a chat changed a hyphen of the code. Copy it from the original message, or upload the file.",
        "授权码中的连字符被文档或聊天软件替换了。请从原始消息复制，或直接上传授权文件。",
    ),
    "StrangeLetter": (
        "The code holds a letter that no code has. Copy it from the original message, or upload the file.",
        "授权码中含有不应出现的字符。请从原始消息复制，或直接上传授权文件。",
    ),
    "BadSignature": (
        "The code is not genuine, or was changed on the way. Copy it again from the original message, or upload the file.",
        "授权码未通过验证：不是真的，或在传递途中被改动。请从原始消息重新复制，或直接上传授权文件。",
    ),
    "UnknownKey": (
        "The code was signed with a key that this add-on does not know. Update the add-on, or ask your supplier.",
        "授权码所用的签名密钥不在本模块内。请升级授权模块，或联系供应商。",
    ),
    "Malformed": (
        "The code is genuine, but its content is wrong. Ask your supplier for a new one.",
        "授权码是真的，但内容有误。请向供应商索取新的授权码。",
    ),
    "ClockSuspect": (
        "The server's clock has been behind for two weeks. Put it right, or enter a new code.",
        "服务器时间落后已达两周。请校正时间，或录入新的授权码。",
    ),
}

STATES = {
    "Active": ("Active", "有效"),
    "ExpiringSoon": ("Ends soon", "即将到期"),
    "Grace": ("Grace period", "宽限期"),
    "Expired": ("Ended", "已到期"),
    "NotYetValid": ("Not begun", "未生效"),
    "Foreign": ("Another database", "数据库不符"),
    "Revoked": ("Revoked", "已吊销"),
    "Refused": ("Refused", "无效"),
    "Missing": ("No licence", "未授权"),
}

LABELS = {
    "title": ("Licence", "软件授权"),
    "state": ("State", "状态"),
    "customer": ("Customer", "客户"),
    "plan": ("Plan", "套餐"),
    "trial": ("trial", "试用"),
    "features": ("Features", "功能"),
    "users": ("Internal users", "内部用户"),
    "no_limit": ("no limit", "不限"),
    "ends": ("Ends", "到期时间"),
    "stops": ("People can work until", "可使用至"),
    "days": ("Days left", "剩余天数"),
    "serial": ("Licence", "授权编号"),
    "database": ("This database", "本数据库编号"),
    "request": ("Request", "申请码"),
    "request_help": (
        "Send this to your supplier, or let them scan it, to get a code. It holds the numbers of this database and of its licence, the versions, "
        "how many users there are, and nothing else.",
        "把申请码发给供应商，或让对方扫码，即可换取授权码。其中只有本数据库和现有授权的编号、版本号和用户数，没有其他信息。",
    ),
    "qr": ("The request as a QR code", "申请码的二维码"),
    "enter": ("Enter a code", "录入授权码"),
    "enter_help": ("Paste the code that you were sent, or upload the file.", "粘贴收到的授权码，或上传授权文件。"),
    "paste": ("Code", "授权码"),
    "file": ("File", "授权文件"),
    "save": ("Check and save", "验证并保存"),
    "saved": ("The code is genuine and was saved.", "授权码有效，已保存。"),
    "saved_later": ("The code is genuine and was saved; it begins on {begins}.", "授权码有效，已保存，将于 {begins} 开始生效。"),
    "back": ("Back to Odoo", "返回 Odoo"),
    "log_out": ("Log out", "退出登录"),
    "more": ("Licence page", "查看授权"),
    "refused": ("The code was not accepted", "授权码未被接受"),
    "utc": ("Times are UTC.", "时间均为 UTC。"),
    "what_it_is": (
        "A code proves who issued it and until when. It is checked on this server alone; nothing is sent anywhere.",
        "授权码证明由谁签发、有效至何时。验证只在本服务器上进行，不向任何地方发送数据。",
    ),
    "stopped_title": ("Odoo cannot be used at present", "Odoo 暂时无法使用"),
    "stopped": (
        "{reason} Please ask an administrator of this Odoo: {people}. Nothing was deleted. Scheduled jobs, the website and the portal go on.",
        "{reason}请联系本系统的管理员：{people}。数据没有丢失；定时任务、网站和门户照常运行。",
    ),
    "clock": (
        "The server's clock is wrong: it lies behind a time that is known to have passed, or differs from the database's by more than a day. "
        "Time counts from {moment}.",
        "服务器时间有误：早于已知的时间，或与数据库时间相差一天以上。授权按 {moment} 计算。",
    ),
    "crowded": (
        "{users} internal users, but the licence allows {limit}. Nobody is thrown out; no new ones can be added.",
        "现有 {users} 个内部用户，超出授权的 {limit} 个。现有用户不受影响，但不能再新增。",
    ),
    "neutralised": (
        "This is a neutralised copy: the licence of the original counts, whatever the database's number.",
        "这是已脱敏的测试副本：沿用原库授权，不校验数据库编号。",
    ),
    "too_many_users": (
        "The licence allows {limit} internal users. Archive one, or ask for a larger licence.",
        "授权允许 {limit} 个内部用户。请归档不用的用户，或申请扩容。",
    ),
    "write_refused": (
        "{reason} Nothing can be saved until an administrator has entered a new code.",
        "{reason}管理员录入新的授权码之前无法保存任何内容。",
    ),
    "feature_missing": (
        "The licence does not include “{feature}”. Ask your supplier.",
        "授权不包含“{feature}”功能，请联系供应商。",
    ),
    "banner_ends": ("The licence ends on {ends}, in {days} days.", "授权将于 {ends} 到期，剩余 {days} 天。"),
    "banner_grace": (
        "The licence ended on {ends}. In {days} days, on {stops}, people can no longer work. Enter a new code.",
        "授权已于 {ends} 到期。{days} 天后（{stops}）将停止使用，请录入新的授权码。",
    ),
    "banner_waits": (
        "{reason} In {days} days, on {stops}, people can no longer work.",
        "{reason}{days} 天后（{stops}）将停止使用。",
    ),
    "banner_stopped": ("{reason} Only administrators can work.", "{reason}目前只有管理员可以使用。"),
}


def language(code):
    """0 for English, 1 for Chinese, by the name of a language such as zh_CN."""
    return 1 if (code or "").startswith("zh") else 0


def label(name, lang, **values):
    """A piece of the page."""
    return LABELS[name][language(lang)].format(**values)


def reason(verdict, lang):
    """Why the state is what it is."""
    return sentence(verdict.reason, lang, verdict.detail)


def sentence(name, lang, detail=None):
    """A reason as a sentence."""
    text = REASONS[name][language(lang)]
    return "%s (%s)" % (text, detail) if detail else text


def date(seconds):
    """A moment as people write it, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")


def day(seconds):
    """The day of a moment, in UTC."""
    return date(seconds)[:10]


def banner(verdict, users, lang):
    """The sentences of the banner, joined."""
    parts = []
    why = reason(verdict, lang)
    if verdict.restricted:
        parts.append(label("banner_stopped", lang, reason=why))
    elif verdict.state == "ExpiringSoon":
        parts.append(label("banner_ends", lang, ends=day(verdict.claims.expires_at), days=verdict.days))
    elif verdict.state == "Grace":
        ends, stops = day(verdict.claims.expires_at), day(verdict.until)
        parts.append(label("banner_grace", lang, ends=ends, stops=stops, days=verdict.days))
    elif verdict.state != "Active":
        parts.append(label("banner_waits", lang, reason=why, stops=day(verdict.until), days=verdict.days))
    if verdict.suspect:
        parts.append(label("clock", lang, moment=date(verdict.moment)))
    if verdict.crowded:
        parts.append(label("crowded", lang, users=users, limit=verdict.claims.max_users))
    return ("" if language(lang) else " ").join(parts)
