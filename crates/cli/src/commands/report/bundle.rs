//! The files of a report, and the archive that holds them.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::collect::Collected;
use super::redact;
use super::scrub::Scrubber;
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::say;

/// A file: its path and content.
pub type File = (String, String);

/// The files, redacted. `facts` are about the cluster, such as versions and checks.
pub fn files(language: Language, collected: &Collected, facts: Vec<File>) -> Vec<File> {
    let mut scrubber = Scrubber::default();
    for (_, object) in &collected.objects {
        redact::learn(object, &mut scrubber);
    }
    let mut files: Vec<File> = Vec::new();
    for (path, text) in facts {
        files.push((path, scrubber.text(&text)));
    }
    for (path, object) in &collected.objects {
        let shown = redact::object(object, &scrubber);
        files.push((format!("{path}.yaml"), serde_saphyr::to_string(&shown).unwrap_or_default()));
    }
    for (path, log) in &collected.logs {
        files.push((format!("{path}.log"), scrubber.text(&console::strip_ansi_codes(log))));
    }
    let not_read: Vec<String> =
        collected.not_read.iter().map(|(what, why)| format!("{what}: {}\n", scrubber.text(why))).collect();
    files.insert(0, ("README.txt".into(), readme(language, collected)));
    files.insert(1, ("not-read.txt".into(), not_read.concat()));
    files
}

/// What is in it, what is not, and that a person should look.
fn readme(language: Language, collected: &Collected) -> String {
    let (objects, logs, not_read) = (collected.objects.len(), collected.logs.len(), collected.not_read.len());
    say!(
        language,
        "A report of OdooFleet, made by `kubectl odoo report`.\n\n\
         LOOK THROUGH IT BEFORE YOU SEND IT. Programs cannot know everything that is secret.\n\n\
         In it: {objects} objects, the ends of {logs} logs, versions, and the outcome of `kubectl odoo preflight`.\n\
         {not_read} things could not be read: not-read.txt says which and why.\n\n\
         Taken out: values of variables, free values and annotations, names and addresses of contacts, companies' names, and in texts\n\
         whatever looks like a password, token, key, e-mail address or telephone number. No Secret was read.\n\
         Still in it: names of customers' and environments' objects, hosts, addresses of git repositories, images, IP addresses, and\n\
         whatever else stands in logs.\n",
        "OdooFleet 报告，由 `kubectl odoo report` 生成。\n\n\
         发送之前请先自行检查。程序无法识别所有的机密信息。\n\n\
         内容：{objects} 个对象、{logs} 份日志的末尾、版本信息，以及 `kubectl odoo preflight` 的结果。\n\
         有 {not_read} 项无法读取：见 not-read.txt。\n\n\
         已去除：环境变量的值、自由填写的 values 和注解、联系人的姓名和地址、公司名称，以及文本中看起来像密码、令牌、密钥、\n\
         电子邮件地址或电话号码的内容。没有读取任何 Secret。\n\
         仍然包含：客户和环境对象的名称、主机名、git 仓库地址、镜像、IP 地址，以及日志中的其他内容。\n"
    )
}

/// The archive.
pub fn archive(files: &[File]) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o600);
    for (path, content) in files {
        archive.start_file(path.as_str(), options).map_err(|error| failed(&error))?;
        archive.write_all(content.as_bytes())?;
    }
    let cursor = archive.finish().map_err(|error| failed(&error))?;
    Ok(cursor.into_inner())
}
