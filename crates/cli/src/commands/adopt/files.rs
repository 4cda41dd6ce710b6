//! Files for Git: an environment and its Secret are both written, or neither. What is there is never written over.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::language::Language;
use crate::say;

/// A file that is to be.
pub struct File {
    /// Where.
    pub path: PathBuf,
    content: String,
    secret: bool,
}

impl File {
    /// A file with YAML.
    pub fn yaml(path: PathBuf, value: &impl Serialize) -> Result<Self, String> {
        let content = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
        Ok(Self { path, content: format!("{}\n", content.trim_end()), secret: false })
    }

    /// The same for nobody else's eyes.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Whether it is there; an error if something else is there.
    fn is_there(&self, language: Language) -> Result<bool, String> {
        match fs::read(&self.path) {
            Ok(content) if content == self.content.as_bytes() => Ok(true),
            Ok(_) => {
                let path = self.path.display();
                Err(say!(
                    language,
                    "file \"{path}\" exists and says something else: move it away",
                    "文件 \"{path}\" 已存在且内容不同：请先移走"
                ))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.cannot(language, "read", "读取", &error)),
        }
    }

    fn create(&self, language: Language) -> Result<(), String> {
        let made = self.path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            if self.secret {
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            }
            options.open(&self.path)
        });
        let written = made.and_then(|mut file| {
            // A disk that is full leaves no half of a file.
            file.write_all(self.content.as_bytes()).inspect_err(|_| drop(fs::remove_file(&self.path)))
        });
        written.map_err(|error| self.cannot(language, "write", "写入", &error))
    }

    fn cannot(&self, language: Language, verb: &str, chinese: &str, error: &io::Error) -> String {
        let path = self.path.display();
        say!(language, "cannot {verb} \"{path}\": {error}", "无法{chinese} \"{path}\"：{error}")
    }
}

/// Writes all of them, or none. Those that are there with the same content stay.
pub fn write(files: &[File], language: Language) -> Result<(), String> {
    let missing = files.iter().filter_map(|file| match file.is_there(language) {
        Ok(true) => None,
        Ok(false) => Some(Ok(file)),
        Err(error) => Some(Err(error)),
    });
    let missing = missing.collect::<Result<Vec<&File>, String>>()?;
    for (position, file) in missing.iter().enumerate() {
        if let Err(error) = file.create(language) {
            missing[..position].iter().for_each(|made| drop(fs::remove_file(&made.path)));
            return Err(error);
        }
    }
    Ok(())
}

/// `folder/customer/kind-name.yaml`
pub fn place(folder: &Path, customer: &str, kind: &str, name: &str) -> PathBuf {
    folder.join(customer).join(format!("{kind}-{name}.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_written_or_none_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            |name: &str, value: &str| File::yaml(place(folder.path(), "acme", "environment", name), &value).unwrap();
        write(&[file("a", "1"), file("b", "1").secret()], Language::English).unwrap();
        write(&[file("a", "1"), file("c", "1")], Language::English).unwrap();
        let error = write(&[file("d", "1"), file("a", "2")], Language::English).unwrap_err();
        assert!(error.contains("says something else"), "{error}");
        assert!(!file("d", "1").path.exists(), "half of it was written");
        assert_eq!(fs::read_to_string(file("a", "").path).unwrap(), file("a", "1").content);
        // A place that cannot be: the folder is a file.
        let below = File::yaml(file("a", "").path.join("x.yaml"), &"1").unwrap();
        assert!(write(&[file("e", "1"), below], Language::English).is_err());
        assert!(!file("e", "1").path.exists(), "half of it was written");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = File::yaml(place(folder.path(), "acme", "secret", "a"), &"1").unwrap().secret();
        write(std::slice::from_ref(&file), Language::English).unwrap();
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
