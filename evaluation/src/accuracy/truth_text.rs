//! The text of ground truth: lines, tables and JSON Lines.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::columns::{check_columns, header};
use super::entries::Entries;
use super::error::GroundTruthError;
use super::file_kind::check_text;
use super::forms::{self, LINE, TruthForm, shortened};
use super::json_line::json_line;
use super::lookup::{Numbers, SEPARATORS};
use super::quotes::Quotes;
use crate::text::printable;

/// The largest file. As many bytes name about three million images, with their paths.
pub(super) const MOST_BYTES: u64 = 256 << 20;
/// The longest line, or row of a table, in bytes.
const LONGEST_LINE: usize = 4 << 20;
/// The longest class, in bytes: a label has at most as many characters.
const LONGEST_CLASS: usize = 4 * 4096;

/// Returns the entries of a file by the image's name, their form, and the meaning of numbers. `requested` names the columns
/// of the image and of the class.
///
/// # Errors
///
/// The errors of [`GroundTruth::read`](super::GroundTruth::read).
pub(super) fn parse(
    file: impl Read,
    requested: Option<&[String; 2]>,
) -> Result<(Entries, TruthForm, Numbers), GroundTruthError> {
    let guard = Guard::default();
    let mut lines = Lines::new(&guard, file);
    check_text(lines.source.fill_buf()?)?;
    let Some(first) = lines.next()? else {
        return Err(GroundTruthError::Empty);
    };
    let first = first.into_owned();
    let mut entries = Entries::default();
    let trimmed = first.trim();
    if forms::is_synset_words(trimmed) {
        return Err(GroundTruthError::SynsetWords);
    }
    if trimmed.starts_with('{') {
        let numbers = json_lines(&first, lines, requested, &mut entries)?;
        return Ok((entries, TruthForm::JsonLines, numbers));
    }
    if forms::is_loc_header(trimmed) {
        table(&first, lines, (0, 1, b','), true, &mut entries)?;
        return Ok((entries, TruthForm::LocSolution, Numbers::Unknown));
    }
    // A cell without a name may be the first.
    if let Some(columns) = header(first.trim_end(), lines.number, requested)? {
        let places = (columns.image, columns.class, columns.delimiter);
        table(&first, lines, places, false, &mut entries)?;
        return Ok((entries, TruthForm::Csv, columns.numbers));
    }
    pair(lines.number, &first, &mut entries)?;
    while let Some(line) = lines.next()? {
        let line = line.into_owned();
        pair(lines.number, &line, &mut entries)?;
    }
    Ok((entries, TruthForm::Lines, Numbers::Unknown))
}

/// Reads a line with a name and a class.
fn pair(number: usize, line: &str, entries: &mut Entries) -> Result<(), GroundTruthError> {
    let split = line.split_once('\t').or_else(|| {
        // The class is the last word: names of files may have blanks.
        line.trim_end().rsplit_once(char::is_whitespace)
    });
    match split {
        Some((name, class)) if !name.trim().is_empty() && !class.trim().is_empty() => {
            add(entries, number, name.trim(), class)
        }
        _ if line.trim().parse::<u64>().is_ok() => Err(GroundTruthError::ClassAlone {
            line: number,
            text: shortened(line.trim(), LINE),
        }),
        _ => Err(GroundTruthError::Line {
            line: number,
            text: shortened(line, LINE),
        }),
    }
}

/// Reads JSON Lines. Returns the meaning of numbers.
fn json_lines<R: Read>(
    first: &str,
    mut lines: Lines<'_, R>,
    requested: Option<&[String; 2]>,
    entries: &mut Entries,
) -> Result<Numbers, GroundTruthError> {
    // The first line and its key of the classes, which decides what numbers mean.
    let mut keys: Option<(usize, String)> = None;
    let mut read = |number, line: &str| {
        let found = json_line(number, line, requested)?;
        let (first, key) = keys.get_or_insert_with(|| (number, found.key.clone()));
        if *key != found.key {
            let (key, found) = (printable(key), printable(&found.key));
            let detail =
                format!("the class has the key \"{found}\", but \"{key}\" in line {first}");
            return Err(GroundTruthError::JsonLine {
                line: number,
                detail,
            });
        }
        if found.classes.is_empty() {
            add(entries, number, &found.image, "")?;
        }
        for class in &found.classes {
            add(entries, number, &found.image, class)?;
        }
        Ok(())
    };
    read(lines.number, first)?;
    while let Some(line) = lines.next()? {
        let line = line.into_owned();
        read(lines.number, &line)?;
    }
    Ok(keys.map_or(Numbers::Unknown, |(_, key)| Numbers::of_column(&key)))
}

/// Reads a table: the places of the image's column and the class's, and the separator.
fn table<R: Read>(
    header: &str,
    lines: Lines<'_, R>,
    (image, class, delimiter): (usize, usize, u8),
    is_loc: bool,
    entries: &mut Entries,
) -> Result<(), GroundTruthError> {
    // The lines above the header are comments.
    let above = lines.number - 1;
    let guard = lines.guard;
    let header = [header, "\n"].concat();
    // Lines may end in CR alone: then all of them are in `header`.
    let rows = header.as_bytes().chain(lines.source);
    let rows = Quotes::new(rows, delimiter, lines.number);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(rows);
    let columns = reader.byte_headers().map_err(failed)?.len();
    let mut record = csv::ByteRecord::new();
    loop {
        guard.begin(above + reader.position().line() as usize);
        if !reader.read_byte_record(&mut record).map_err(failed)? {
            return Ok(());
        }
        let number = record
            .position()
            .map_or(0, |position| above + position.line() as usize);
        check_columns(number, record.len())?;
        // Spreadsheets fill rows with empty cells.
        let cells = record.iter().rposition(|cell| !cell.is_empty());
        if let Some(last) = cells.filter(|last| *last >= columns) {
            return Err(GroundTruthError::MoreThanHeader {
                line: number,
                cells: last + 1,
                columns,
            });
        }
        let cell = |place| record.get(place).map(String::from_utf8_lossy);
        let (Some(name), Some(class)) = (cell(image), cell(class)) else {
            return Err(GroundTruthError::TooFewColumns { line: number });
        };
        if [&name, &class]
            .iter()
            .any(|cell| cell.contains(['\n', '\r']))
        {
            return Err(GroundTruthError::BrokenCell { line: number });
        }
        if !is_loc {
            // An empty cell: an image that shows none of the classes.
            add(entries, number, name.trim(), &class)?;
            continue;
        }
        let classes = forms::classes_of_boxes(&class);
        let classes = classes.ok_or_else(|| GroundTruthError::Boxes {
            line: number,
            text: shortened(&class, LINE),
        })?;
        for class in classes {
            add(entries, number, name.trim(), class)?;
        }
    }
}

fn failed(error: csv::Error) -> GroundTruthError {
    let detail = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        _ => GroundTruthError::Csv { detail },
    }
}

fn add(
    entries: &mut Entries,
    number: usize,
    name: &str,
    class: &str,
) -> Result<(), GroundTruthError> {
    let class = class.trim();
    let longest = class.split(SEPARATORS).map(str::len).max();
    if let Some(bytes) = longest.filter(|bytes| *bytes > LONGEST_CLASS) {
        return Err(GroundTruthError::LongClass {
            line: number,
            bytes,
            limit: LONGEST_CLASS,
        });
    }
    entries.add(number, Path::new(name), class)
}

/// The bytes that may still be read of a file, and of its current line or row: parsers keep a whole one.
struct Guard {
    file: Cell<u64>,
    line: Cell<usize>,
    number: Cell<usize>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            file: Cell::new(MOST_BYTES),
            line: Cell::new(LONGEST_LINE),
            number: Cell::new(1),
        }
    }
}

impl Guard {
    /// Begins a line or row.
    fn begin(&self, number: usize) {
        self.line.set(LONGEST_LINE);
        self.number.set(number);
    }

    fn check(&self, count: usize) -> Result<(), GroundTruthError> {
        let file = self.file.get().checked_sub(count as u64);
        self.file
            .set(file.ok_or(GroundTruthError::TooLarge { limit: MOST_BYTES })?);
        let line = self.line.get().checked_sub(count);
        self.line.set(line.ok_or(GroundTruthError::LongLine {
            line: self.number.get(),
            limit: LONGEST_LINE,
        })?);
        Ok(())
    }
}

/// A file that is read no further than a [`Guard`] allows.
struct Guarded<'a, R> {
    guard: &'a Guard,
    file: R,
}

impl<R: Read> Read for Guarded<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(out)?;
        self.guard.check(count).map_err(io::Error::other)?;
        Ok(count)
    }
}

/// The lines that are no comments.
struct Lines<'a, R> {
    guard: &'a Guard,
    source: BufReader<Guarded<'a, R>>,
    bytes: Vec<u8>,
    /// The number of the last line, from 1.
    number: usize,
}

impl<'a, R: Read> Lines<'a, R> {
    fn new(guard: &'a Guard, file: R) -> Self {
        Self {
            guard,
            source: BufReader::new(Guarded { guard, file }),
            bytes: Vec::new(),
            number: 0,
        }
    }

    /// Reads the next line.
    fn next(&mut self) -> Result<Option<Cow<'_, str>>, GroundTruthError> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        loop {
            self.number += 1;
            self.guard.begin(self.number);
            self.bytes.clear();
            if self.source.read_until(b'\n', &mut self.bytes)? == 0 {
                return Ok(None);
            }
            if self.bytes.ends_with(b"\n") {
                self.bytes.pop();
                if self.bytes.ends_with(b"\r") {
                    self.bytes.pop();
                }
            }
            if self.number == 1 && self.bytes.starts_with(BYTE_ORDER_MARK) {
                self.bytes.drain(..BYTE_ORDER_MARK.len());
            }
            let line = String::from_utf8_lossy(&self.bytes);
            let trimmed = line.trim_start();
            if !trimmed.is_empty() && !trimmed.starts_with('#') {
                break;
            }
        }
        Ok(Some(String::from_utf8_lossy(&self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the error of a file that repeats `line` until something ends it.
    fn error(start: &str, line: &str) -> String {
        let line = line.as_bytes().repeat(1 + (1 << 20) / line.len());
        let file = start.as_bytes().chain(Repeated {
            bytes: &line,
            place: 0,
        });
        parse(file, None).unwrap_err().to_string()
    }

    struct Repeated<'a> {
        bytes: &'a [u8],
        place: usize,
    }

    impl Read for Repeated<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = (&self.bytes[self.place..]).read(out)?;
            self.place = (self.place + count) % self.bytes.len();
            Ok(count)
        }
    }

    #[test]
    fn no_file_takes_more_memory_than_lines_and_entries_do() {
        const LONG: &str = "has more than 4194304 bytes";
        for (start, line, expected) in [
            ("", ",", &format!("line 1 {LONG}")[..]),
            ("a.jpg 1\n", "a", &format!("line 2 {LONG}")),
            ("a.jpg 1\n#", "a", &format!("line 2 {LONG}")),
            ("{\"a\": [", "0,", &format!("line 1 {LONG}")),
            ("path,class_id\na.jpg,1\n", ",", &format!("line 3 {LONG}")),
            ("path,class_id\na.jpg,\"", "1\n", &format!("line 2 {LONG}")),
            (
                "# all\n\n",
                "# none\n",
                "is larger than 268435456 bytes, the size limit",
            ),
            ("", "a.jpg 1\n", "it has more than 3670016 entries"),
            (
                "path,class_id\n",
                "a,1\n",
                "it has more than 3670016 entries",
            ),
        ] {
            assert_eq!(error(start, line), expected, "{start:?} {line:?}");
        }
        for (text, line) in [
            (format!("path,class_id{}\n", ",".repeat(1023)), 1),
            (format!("path,class_id\na.jpg,1{}\n", ",".repeat(1023)), 2),
        ] {
            let error = parse(text.as_bytes(), None).unwrap_err();
            let expected = format!("line {line} has 1025 columns, more than 1024");
            assert_eq!(error.to_string(), expected);
        }
        let text = format!("path,class_id{}\na.jpg,1\n", ",".repeat(1022));
        parse(text.as_bytes(), None).unwrap();
    }

    #[test]
    fn errors_quote_little() {
        let long = "k".repeat(100_000);
        for text in [
            format!("{{\"{long}\": 1}}"),
            format!("{{\"image\": [\"{long}\"], \"label\": 1}}"),
            format!("{{\"image\": \"a\", \"label\": [[\"{long}\"]]}}"),
        ] {
            let error = parse(text.as_bytes(), None).unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
    }

    fn classes(text: &str, image: &str) -> Option<Vec<String>> {
        let (entries, ..) = parse(text.as_bytes(), None).unwrap();
        let image = entries.longest_end(Path::new(image))?;
        let classes = entries.classes(&image)?;
        Some(classes.map(str::to_owned).collect())
    }

    #[test]
    fn classes_are_those_of_the_column_with_the_name() {
        let text = "file_name,\"caption, en\",label,prediction\na.jpg,x,1,243\n";
        assert_eq!(classes(text, "a.jpg").unwrap(), ["1"]);
        let text = "\tpath\tlabel\n0\ta.jpg\tcat\n";
        assert_eq!(classes(text, "a.jpg").unwrap(), ["cat"]);
    }

    #[test]
    fn names_in_json_are_exact_and_those_in_lines_and_cells_are_trimmed() {
        let json = r#"{"file_name":"\t a.jpg","label":1}"#;
        assert_eq!(classes(json, "\t a.jpg").unwrap(), ["1"]);
        assert_eq!(classes(json, "a.jpg"), None);
        assert_eq!(classes(" a.jpg\t1\n", "a.jpg").unwrap(), ["1"]);
        let table = "path,label\n\" a.jpg \",1\n";
        assert_eq!(classes(table, "a.jpg").unwrap(), ["1"]);
    }

    #[test]
    fn no_row_is_lost_in_the_quotes_of_another() {
        let broken = "has a line break in the cell of the image or of the class";
        let behind = "has text behind the closing quotes of a cell";
        for (rows, expected) in [
            ("a.jpg,\"two\nlines\n\",cat\r\nb.jpg,x,dog\n", None),
            ("a.jpg,x,\"cat\"\r\n\"b.jpg\",\"a \"\"b\"\" c\",dog", None),
            ("a.jpg,5\" of snow,cat\n", None),
            ("a.jpg,x,\"cat\nb.jpg,x,dog\"\n", Some((3, broken))),
            (
                "a.jpg,x,cat\n\"b.jpg,x,dog\nc.jpg\",x,cow\n",
                Some((4, broken)),
            ),
            ("a.jpg,\"x,cat\nb.jpg,\"y\",dog\n", Some((3, behind))),
            (
                "a.jpg,x,cat\nb.jpg,x,\"dog\nc.jpg,x,\"cow\"",
                Some((4, behind)),
            ),
            (
                "a.jpg,x,\"cat\nb.jpg,x,dog\n",
                Some((3, "has a cell whose quotes do not end")),
            ),
            (
                "a.jpg,x,cat\nb.jpg,\"",
                Some((4, "has a cell whose quotes do not end")),
            ),
        ] {
            let text = format!("# photos\npath,caption,label\n{rows}");
            let error = parse(text.as_bytes(), None)
                .map(|_| ())
                .map_err(|error| error.to_string());
            let expected = expected.map(|(line, text)| format!("line {line} {text}"));
            assert_eq!(error.err(), expected, "{rows:?}");
        }
    }

    #[test]
    fn lines_may_end_in_cr() {
        let text = "path,caption,label\ra.jpg,\"x\",1\rb.jpg,y,2\r";
        assert_eq!(classes(text, "b.jpg").unwrap(), ["2"]);
        let text = "path,caption,label\ra.jpg,\"x,1\rb.jpg,\"y\",2\r";
        let error = parse(text.as_bytes(), None).unwrap_err().to_string();
        assert_eq!(error, "line 1 has text behind the closing quotes of a cell");
    }

    #[test]
    fn every_entry_has_the_image_and_class_of_its_columns() {
        let error = |text: &str| parse(text.as_bytes(), None).unwrap_err().to_string();
        for text in [
            "path,label\na.jpg,1\n , 2\n",
            "a.jpg 1\n./ 2\n",
            "{\"id\":\"a\",\"label\":1}\n{\"id\":\"\",\"label\":2}\n",
        ] {
            let error = error(text);
            assert!(
                error.ends_with(" has an empty name of an image"),
                "{text:?}: {error}"
            );
        }
        let text = "path,caption,label\na.jpg,x,1,,\nb.jpg,cat, 7,243\n";
        assert_eq!(
            error(text),
            "line 3 has 4 cells, but the header has 3 columns"
        );
    }

    #[test]
    fn all_lines_of_json_have_the_class_in_one_key() {
        let text = "{\"id\":\"a\",\"class_id\":1}\n\n{\"id\":\"b\",\"label\":1}\n";
        let error = parse(text.as_bytes(), None).unwrap_err().to_string();
        let expected = "line 3: the class has the key \"label\", but \"class_id\" in line 1";
        assert_eq!(error, expected);
    }
}
