//! What the images are made of.

/// A file of ours in an image.
#[derive(Debug)]
pub struct File {
    /// Where, without the leading slash.
    pub path: &'static str,
    /// Its permissions.
    pub mode: u32,
    /// What it holds.
    pub content: &'static str,
}

/// Where the rest of an image comes from.
#[derive(Debug)]
pub enum Base {
    /// Packages of Debian, without what they only recommend.
    Debian {
        /// Separated by spaces.
        packages: &'static str,
        /// Lines of /etc/passwd that are there before the packages are.
        users: &'static str,
        /// The same of /etc/group.
        groups: &'static str,
        /// Paths that no package may unpack.
        without: &'static [&'static str],
        /// Run by a shell at the end; `$1` is the image's root.
        finish: &'static str,
    },
    /// One program of ours, in the folder of this name in `e2e/tools`.
    Program(&'static str),
    /// One program, which `build.sh` in the folder of this name in `e2e/tools` builds.
    Built(&'static str),
}

/// One image.
#[derive(Debug)]
pub struct Recipe {
    /// Its full name.
    pub name: &'static str,
    /// Where the rest comes from.
    pub base: Base,
    /// Files on top.
    pub files: &'static [File],
    /// The rest of its configuration, as an OCI image has it.
    pub config: &'static str,
}

/// The suite that the images are built from.
pub const SUITE: &str = "bookworm";
/// Holds a pod's namespaces.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// The image of the pods that make and remove volumes; any with a shell will do.
pub const HELPER: &str = GIT;
/// Git, in Debian's version.
const GIT: &str = "docker.io/alpine/git:v2.39.5";
/// `PostgreSQL`, in Debian's version.
const POSTGRES: &str = "docker.io/library/postgres:15";
/// nginx, in Debian's version.
const PROXY: &str = "docker.io/nginxinc/nginx-unprivileged:1.22.1";
/// The mail catcher.
const MAIL: &str = "docker.io/axllent/mailpit:v1.33.1";
/// Serves repositories over https and ssh, for tests.
const GIT_SERVER: &str = "docker.io/odoofleet/git-server:bookworm";
/// All that Odoo needs, without Odoo.
pub const RUNTIME: &str = "docker.io/odoofleet/odoo-runtime:bookworm";

/// The tags of these images in the values of `charts/odoo`.
pub const VALUES: &str = r#"{
  "git": {"image": {"tag": "v2.39.5"}},
  "postgresql": {"image": {"tag": "15"}},
  "proxy": {"image": {"tag": "1.22.1"}}
}"#;
/// The major version of `PostgreSQL`.
pub const POSTGRES_MAJOR: i64 = 15;

/// All of them.
pub const RECIPES: [Recipe; 7] = [
    Recipe { name: PAUSE, base: Base::Program("pause"), files: &[], config: r#"{"Entrypoint": ["/pause"]}"# },
    Recipe {
        name: GIT,
        base: Base::Debian {
            packages: "git openssh-client ca-certificates",
            users: "",
            groups: "",
            without: &[],
            finish: "true",
        },
        files: &[],
        config: r#"{"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Entrypoint": ["git"],
            "Cmd": ["--help"], "WorkingDir": "/git"}"#,
    },
    Recipe {
        name: POSTGRES,
        base: Base::Debian {
            packages: "postgresql-15",
            users: "postgres:x:999:999::/var/lib/postgresql:/bin/bash",
            groups: "postgres:x:999:",
            without: &[],
            // The package makes a database of its own, and listens for this machine alone.
            finish: r#"rm -rf "$1"/var/lib/postgresql/* "$1"/etc/postgresql/*
                sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" "$1"/usr/share/postgresql/15/postgresql.conf.sample
                mkdir "$1"/docker-entrypoint-initdb.d"#,
        },
        files: &[File {
            path: "usr/local/bin/docker-entrypoint.sh",
            mode: 0o755,
            content: include_str!("files/postgres-entrypoint"),
        }],
        config: r#"{"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin",
                "LANG=C.UTF-8", "PG_MAJOR=15", "PGDATA=/var/lib/postgresql/data"],
            "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"], "StopSignal": "SIGINT"}"#,
    },
    Recipe {
        name: PROXY,
        base: Base::Debian {
            packages: "nginx ca-certificates",
            users: "nginx:x:101:101::/nonexistent:/usr/sbin/nologin",
            groups: "nginx:x:101:",
            without: &[],
            finish: r#"rm -rf "$1"/etc/nginx/sites-* "$1"/etc/nginx/modules-*"#,
        },
        files: &[
            File { path: "etc/nginx/nginx.conf", mode: 0o644, content: include_str!("files/nginx.conf") },
            File {
                path: "etc/nginx/conf.d/default.conf",
                mode: 0o644,
                content: include_str!("files/nginx-default.conf"),
            },
        ],
        config: r#"{"User": "101", "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT"}"#,
    },
    Recipe { name: MAIL, base: Base::Built("mailpit"), files: &[], config: r#"{"Entrypoint": ["/mailpit"]}"# },
    Recipe {
        name: GIT_SERVER,
        base: Base::Debian {
            packages: "git lighttpd lighttpd-mod-openssl openssh-server",
            users: "",
            groups: "",
            without: &[],
            finish: r#"rm -f "$1"/etc/ssh/ssh_host_*
                chroot "$1" useradd --create-home --home-dir /srv --password '*' --shell /usr/bin/git-shell git"#,
        },
        files: &[],
        config: r#"{"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]}"#,
    },
    Recipe {
        name: RUNTIME,
        base: Base::Debian {
            packages: "ca-certificates fonts-dejavu-core fonts-font-awesome fonts-inconsolata fonts-noto-cjk \
                fonts-roboto-unhinted git gsfonts libjs-underscore postgresql-client wkhtmltopdf xfonts-base \
                python3-asn1crypto python3-babel python3-cbor2 python3-chardet python3-cryptography python3-dateutil \
                python3-decorator python3-docutils python3-freezegun python3-geoip2 python3-gevent python3-greenlet \
                python3-idna python3-jinja2 python3-ldap python3-libsass python3-lxml python3-magic \
                python3-markupsafe python3-num2words python3-ofxparse python3-openpyxl python3-openssl \
                python3-passlib python3-phonenumbers python3-pil python3-pip python3-polib python3-psutil \
                python3-psycopg2 python3-pydot python3-pypdf2 python3-qrcode python3-renderpm python3-reportlab \
                python3-requests python3-rjsmin python3-setuptools python3-slugify python3-stdnum python3-tz \
                python3-urllib3 python3-vobject python3-watchdog python3-websocket python3-werkzeug python3-xlrd \
                python3-xlsxwriter python3-xlwt python3-zeep",
            // The official images' user is 101 up to Odoo 17, and 100 from 18 on. Odoo asks for its name.
            users: "odoo:x:100:101::/var/lib/odoo:/bin/sh\nodoo17:x:101:101::/var/lib/odoo:/bin/sh",
            groups: "odoo:x:101:",
            // Drivers of graphics cards.
            without: &["/usr/lib/*/dri/*", "/usr/lib/*/libLLVM*"],
            finish: r#"mkdir -p "$1"/var/lib/odoo "$1"/mnt/extra-addons && chown 100:101 "$1"/var/lib/odoo"#,
        },
        files: &[File { path: "usr/bin/odoo", mode: 0o755, content: include_str!("files/odoo") }],
        config: r#"{"User": "100:101", "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8", "PYTHONPYCACHEPREFIX=/opt/pycache"], "Cmd": ["odoo"]}"#,
    },
];
