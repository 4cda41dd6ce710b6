use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::tools::{Recipe, Table, program};
use crate::{exec, ui};

/// What the archives of these tests hold: something that can be run.
const PROGRAM: &[u8] = b"#!/bin/sh\necho fetched\n";
const PACKAGE: &str = "example.org/hello";

/// A web server on loopback, which knows what it was asked for.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that has these files by their paths; `None` is a connection that it drops.
    fn with(files: &[(&str, Option<&[u8]>)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let files: BTreeMap<String, Option<Vec<u8>>> =
            files.iter().map(|(path, content)| ((*path).to_owned(), content.map(<[u8]>::to_vec))).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &files, &noted);
            }
        });
        Self { address, asked }
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(Origin::of(Some(&format!("http://{}/mirror/", self.address))).unwrap(), None)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Option<Vec<u8>>>, asked: &Mutex<Vec<String>>) {
    let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = first.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(path.clone());
    let (status, content) = match files.get(&path) {
        Some(Some(content)) => ("200 OK", content.as_slice()),
        Some(None) => return,
        None => ("404 Not Found", &b"no such file"[..]),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content));
}

/// A compressed archive with the program and something beside it.
fn packed() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in [("hello-v1/README.md", &b"read me"[..]), ("hello-v1/hello", PROGRAM)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn sum(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

fn archive(content: &[u8], member: Option<&str>) -> Archive {
    Archive { url: "https://example.org/v1/hello".into(), member: member.map(str::to_owned), sha256: sum(content) }
}

fn ran(program: &Path) -> String {
    exec::output(&mut Command::new(program)).unwrap()
}

#[test]
fn an_archive_that_is_the_pinned_one_is_taken_from_a_server() {
    let content = packed();
    let server = Server::with(&[("/mirror/example.org/v1/hello", Some(&content))]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("hello");
    let got = server.fetcher().get(&archive(&content, Some("hello-v1/hello")), &target).unwrap();
    assert_eq!(got, Fetched::Here);
    assert_eq!(ran(&target), "fetched\n");
    assert_eq!(server.asked(), ["/mirror/example.org/v1/hello"]);
}

#[test]
fn a_folder_does_as_well_as_a_server_and_a_program_as_well_as_an_archive() {
    let (mirror, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let there = mirror.path().join("example.org/v1");
    fs::create_dir_all(&there).unwrap();
    fs::write(there.join("hello"), PROGRAM).unwrap();
    let fetcher = Fetcher::new(Origin::of(mirror.path().to_str()).unwrap(), None);
    let target = folder.path().join("hello");
    assert_eq!(fetcher.get(&archive(PROGRAM, None), &target).unwrap(), Fetched::Here);
    assert_eq!(ran(&target), "fetched\n");
}

#[test]
fn another_content_is_refused_by_name_and_both_sums_and_leaves_nothing() {
    let server = Server::with(&[("/mirror/example.org/v1/hello", Some(b"something else"))]);
    let folder = tempfile::tempdir().unwrap();
    let wanted = archive(PROGRAM, None);
    let error = server.fetcher().get(&wanted, &folder.path().join("hello")).unwrap_err().to_string();
    let url = format!("\"http://{}/mirror/example.org/v1/hello\"", server.address);
    for part in [&url, &wanted.sha256, &sum(b"something else"), "ODOOFLEET_MIRROR"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_archive_without_the_program_is_refused() {
    let content = packed();
    let server = Server::with(&[("/mirror/example.org/v1/hello", Some(&content))]);
    let folder = tempfile::tempdir().unwrap();
    let wanted = archive(&content, Some("hello-v1/bin/hello"));
    let error = server.fetcher().get(&wanted, &folder.path().join("hello")).unwrap_err();
    assert!(format!("{error:#}").ends_with("there is no \"hello-v1/bin/hello\" in it"), "{error:#}");
}

#[test]
fn what_is_not_there_is_away_with_the_reason() {
    let (mirror, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = folder.path().join("hello");
    let away = |fetcher: &Fetcher| match fetcher.get(&archive(PROGRAM, None), &target).unwrap() {
        Fetched::Away(why) => why,
        Fetched::Here => panic!("it was fetched"),
    };
    let server = Server::with(&[]);
    let why = away(&server.fetcher());
    assert!(why.contains(" answers 404 to \"http://"), "{why}");
    let why = away(&Fetcher::new(Origin::of(mirror.path().to_str()).unwrap(), None));
    assert!(why.ends_with("example.org/v1/hello\" is not there"), "{why}");
    assert!(!target.exists());
}

#[test]
fn a_host_that_does_not_answer_is_asked_once() {
    let server = Server::with(&[("/mirror/example.org/v1/hello", None)]);
    let folder = tempfile::tempdir().unwrap();
    let fetcher = server.fetcher();
    for _ in 0..3 {
        let got = fetcher.get(&archive(PROGRAM, None), &folder.path().join("hello")).unwrap();
        let Fetched::Away(why) = got else { panic!("it was fetched") };
        assert!(why.contains("cannot be reached"), "{why}");
    }
    assert_eq!(server.asked().len(), 1);
}

/// A module with one program that says by what it came, and the table that lists it.
fn module() -> (TempDir, Table) {
    let module = tempfile::tempdir().unwrap();
    fs::write(module.path().join("go.mod"), format!("module {PACKAGE}\n\ngo 1.26.0\n")).unwrap();
    fs::write(module.path().join("main.go"), "package main\n\nfunc main() { println(\"built\") }\n").unwrap();
    let table = format!(
        "[[program]]\npackage = \"{PACKAGE}\"\nversion = \"v1\"\nurl = \"https://example.org/{{version}}/{{arch}}\"\n\
         sha256.amd64 = \"{}\"\n",
        sum(PROGRAM)
    );
    (module, Table::parse(&table).unwrap())
}

/// What comes of the module's program, and what is said of it.
fn provided(fetcher: &Fetcher, platform: &str) -> (PathBuf, TempDir, Result<String>) {
    let (module, table) = module();
    let into = tempfile::tempdir().unwrap();
    let packages = [PACKAGE.to_owned()];
    let recipe = Recipe { name: "hello", version: "v1", source: module.path(), packages: &packages, ldflags: "-s -w" };
    let task = ui::Task::start("Providing hello v1");
    let done = recipe.provide(&table, fetcher, platform, into.path(), &task);
    (into.path().join(program(PACKAGE)), into, done)
}

#[test]
fn a_tool_is_fetched_where_its_archive_is_and_built_where_it_is_not() {
    let there = Server::with(&[("/mirror/example.org/v1/amd64", Some(PROGRAM))]);
    let (program, _folder, done) = provided(&there.fetcher(), "linux/amd64");
    assert_eq!((done.unwrap().as_str(), ran(&program).as_str()), ("Fetched hello v1", "fetched\n"));

    // Nobody listens there any more.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let unreachable = Fetcher::new(Origin::of(Some(&format!("http://{closed}"))).unwrap(), None);
    for (fetcher, platform) in [(&unreachable, "linux/amd64"), (&there.fetcher(), "linux/arm64")] {
        let (program, _folder, done) = provided(fetcher, platform);
        assert_eq!(done.unwrap(), "Built hello v1");
        let output = Command::new(&program).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "built\n");
    }
}

#[test]
fn a_tool_whose_archive_is_another_is_neither_used_nor_built() {
    let server = Server::with(&[("/mirror/example.org/v1/amd64", Some(b"something else"))]);
    let (program, _folder, done) = provided(&server.fetcher(), "linux/amd64");
    assert!(done.unwrap_err().to_string().contains("is not the archive"));
    assert!(!program.exists());
}
