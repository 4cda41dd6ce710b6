//! The CSV file that says whose a release is, as people write it by hand or have a spreadsheet write it.

use std::collections::BTreeMap;

use odoofleet_api::environment::Stage;

use super::stage;
use crate::language::Language;
use crate::say;

/// What the columns are called.
const COLUMNS: [&str; 4] = ["release", "customer", "service", "stage"];

/// A row that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line of the file.
    pub line: u64,
    /// Release.
    pub release: String,
    /// Customer.
    pub customer: String,
    /// What it is for, if it says so.
    pub service: Option<String>,
    /// Stage, if it says so.
    pub stage: Option<Stage>,
}

/// A row that cannot, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Line of the file.
    pub line: u64,
    /// Why.
    pub why: String,
}

/// The rows of a file. A byte order mark, CRLF, quotes and blanks around cells are as good as none.
///
/// # Errors
/// A file that is no text, and a header that cannot be: then no row can be read.
pub fn read(content: &[u8], language: Language) -> Result<Vec<Result<Row, Wrong>>, String> {
    if std::str::from_utf8(content).is_err() {
        return Err(say!(
            language,
            "it is not UTF-8: save it as \"CSV UTF-8\"",
            "不是 UTF-8 编码：请另存为“CSV UTF-8”"
        ));
    }
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(content);
    let header = reader.headers().map_err(|error| error.to_string())?;
    let columns: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    check_header(&columns, language)?;
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = line_of(content, record.position());
        if record.iter().all(str::is_empty) {
            continue;
        }
        let row = row(&columns, &record, line, language).and_then(|row| match seen.get(&row.release) {
            Some(first) => {
                let release = &row.release;
                let why = say!(
                    language,
                    "release \"{release}\" stands in line {first}, too",
                    "Release \"{release}\" 在第 {first} 行已出现"
                );
                Err(Wrong { line, why })
            }
            None => Ok(row),
        });
        if let Ok(row) = &row {
            seen.insert(row.release.clone(), line);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The line on which a record stands. The reader begins it at the empty lines before it.
fn line_of(content: &[u8], position: Option<&csv::Position>) -> u64 {
    let start = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
    let rest = content.get(start..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let before = content.iter().take(start + empty);
    1 + u64::try_from(before.filter(|byte| **byte == b'\n').count()).unwrap_or_default()
}

fn check_header(columns: &[String], language: Language) -> Result<(), String> {
    let all = COLUMNS.join(", ");
    for (position, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            return Err(say!(
                language,
                "its header has a column \"{column}\"; it may have {all}",
                "表头中有列 \"{column}\"；可用的列为 {all}"
            ));
        }
        if columns[..position].contains(column) {
            return Err(say!(language, "its header has column \"{column}\" twice", "表头中列 \"{column}\" 重复"));
        }
    }
    let missing = COLUMNS[..2].iter().find(|name| !columns.iter().any(|column| column == *name));
    missing.map_or(Ok(()), |name| {
        Err(say!(
            language,
            "its header lacks column \"{name}\"; the first line must name the columns: {all}",
            "表头缺少列 \"{name}\"；第一行必须写明各列：{all}"
        ))
    })
}

fn row(columns: &[String], record: &csv::StringRecord, line: u64, language: Language) -> Result<Row, Wrong> {
    let wrong = |why: String| Wrong { line, why };
    if record.len() > columns.len() {
        let (cells, known) = (record.len(), columns.len());
        let why = say!(
            language,
            "it has {cells} cells, and the header {known} columns",
            "有 {cells} 个单元格，而表头只有 {known} 列"
        );
        return Err(wrong(why));
    }
    let cell = |name: &str| {
        let position = columns.iter().position(|column| column == name)?;
        record.get(position).filter(|cell| !cell.is_empty()).map(str::to_owned)
    };
    let needed = |name: &str| {
        cell(name).ok_or_else(|| wrong(say!(language, "column \"{name}\" is empty", "列 \"{name}\" 为空")))
    };
    let (release, customer) = (needed("release")?, needed("customer")?);
    let stage = match cell("stage") {
        None => None,
        Some(word) => Some(stage(&word).ok_or_else(|| {
            wrong(say!(
                language,
                "stage \"{word}\" is none of Test, Staging, Production",
                "阶段 \"{word}\" 不是 Test、Staging、Production 之一"
            ))
        })?),
    };
    Ok(Row { line, release, customer, service: cell("service"), stage })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(content: &str) -> Result<Vec<Result<Row, Wrong>>, String> {
        read(content.as_bytes(), Language::English)
    }

    fn row(line: u64, release: &str, service: Option<&str>, stage: Option<Stage>) -> Row {
        let service = service.map(str::to_owned);
        Row { line, release: release.into(), customer: "acme".into(), service, stage }
    }

    #[test]
    fn files_of_editors_and_spreadsheets_are_read() {
        let expected = vec![
            row(2, "old-erp", Some("erp"), Some(Stage::Production)),
            row(4, "old-test", None, Some(Stage::Test)),
            row(5, "third", None, None),
        ];
        let plain = "release,customer,service,stage\nold-erp,acme,erp,Production\n\nold-test,acme,,Test\nthird,acme\n";
        let spreadsheet = "\u{feff}\"Release\",Customer , Service,STAGE\r\n\"old-erp\",acme,erp,Production\r\n,,,\r\nold-test, acme ,,Test\r\nthird,acme,,\r\n";
        for content in [plain, spreadsheet] {
            let found: Result<Vec<Row>, Wrong> = rows(content).unwrap().into_iter().collect();
            assert_eq!(found.as_ref(), Ok(&expected), "{content:?}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_is_an_error() {
        for (content, said) in [
            ("", "lacks column \"release\""),
            ("old-erp,acme\n", "a column \"old-erp\""),
            ("release,customer,colour\n", "a column \"colour\""),
            ("release,customer,Release\n", "\"release\" twice"),
            ("release,service\n", "lacks column \"customer\""),
        ] {
            let error = rows(content).unwrap_err();
            assert!(error.contains(said), "{content:?}: {error}");
        }
        let gbk = b"release,customer\nold-erp,\xb0\xac\n";
        assert!(read(gbk, Language::English).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_row_that_is_wrong_is_told_by_its_line_and_the_others_count() {
        let content = "release,customer,stage\na,acme,Live\n,acme,\nb,,\nc,acme,Test\nc,acme,Test\nd,acme,Test,x\n";
        let told: Vec<String> = rows(content)
            .unwrap()
            .into_iter()
            .map(|row| row.map_or_else(|wrong| format!("{} {}", wrong.line, wrong.why), |row| row.release))
            .collect();
        assert_eq!(
            told,
            [
                "2 stage \"Live\" is none of Test, Staging, Production",
                "3 column \"release\" is empty",
                "4 column \"customer\" is empty",
                "c",
                "6 release \"c\" stands in line 5, too",
                "7 it has 4 cells, and the header 3 columns",
            ]
        );
    }
}
