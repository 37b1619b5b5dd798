//! Untrusted XML: limits are checked before parsing.

use std::error::Error as StdError;
use std::fmt;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use roxmltree::{Document, ParsingOptions};

/// A layer of an IR has about 30 elements, and a large model 100,000 layers.
const MOST_ELEMENTS: usize = 4_000_000;
/// The parser compares each attribute of an element with all before it. Elements of an IR have less than 30.
const MOST_ATTRIBUTES: usize = 128;
/// The parser copies the namespaces of an element to all inside it. An IR has none.
const MOST_NAMESPACES: usize = 64;
/// The body of a `Loop` is 4 elements deeper than its layer.
const DEEPEST: usize = 256;

/// The reason why XML is not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum XmlError {
    /// It is not well-formed.
    Malformed(Box<dyn StdError + Send + Sync>),
    /// There is more of something than any real file has.
    TooMany {
        /// The limited item.
        what: &'static str,
        /// The largest number.
        limit: usize,
    },
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::TooMany { what, limit } => write!(f, "it has more than {limit} {what}"),
        }
    }
}

impl StdError for XmlError {}

/// Parses XML. Without a DTD there are no entities to expand.
///
/// # Errors
///
/// [`XmlError`], in a time that is linear in the length of `xml`.
pub fn parse(xml: &str) -> Result<Document<'_>, XmlError> {
    check_size(xml)?;
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(xml, options).map_err(|error| XmlError::Malformed(Box::new(error)))
}

/// Counts what the parser's time and memory grow with.
fn check_size(xml: &str) -> Result<(), XmlError> {
    let mut size = Size::default();
    let mut reader = Reader::from_str(xml);
    // The parser says where the right name was expected.
    reader.config_mut().check_end_names = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                size.add(&element)?;
                size.depth += 1;
                at_most(size.depth, DEEPEST, "elements inside each other")?;
            }
            Ok(Event::Empty(element)) => size.add(&element)?,
            Ok(Event::End(_)) => size.depth = size.depth.saturating_sub(1),
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => (),
            Err(error) => return Err(XmlError::Malformed(Box::new(error))),
        }
    }
}

#[derive(Default)]
struct Size {
    elements: usize,
    namespaces: usize,
    depth: usize,
}

impl Size {
    fn add(&mut self, element: &BytesStart<'_>) -> Result<(), XmlError> {
        self.elements += 1;
        at_most(self.elements, MOST_ELEMENTS, "elements")?;
        // The check for duplicates is what takes the time.
        let mut attributes = element.attributes();
        for (number, attribute) in attributes.with_checks(false).enumerate() {
            at_most(number + 1, MOST_ATTRIBUTES, "attributes of an element")?;
            let attribute = attribute.map_err(|error| XmlError::Malformed(Box::new(error)))?;
            if attribute.key.as_ref().starts_with(b"xmlns") {
                self.namespaces += 1;
                at_most(self.namespaces, MOST_NAMESPACES, "namespaces")?;
            }
        }
        Ok(())
    }
}

fn at_most(count: usize, limit: usize, what: &'static str) -> Result<(), XmlError> {
    if count <= limit {
        Ok(())
    } else {
        Err(XmlError::TooMany { what, limit })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::Instant;

    use super::*;

    fn error(xml: &str) -> String {
        let start = Instant::now();
        let error = parse(xml).unwrap_err().to_string();
        let seconds = start.elapsed().as_secs();
        assert!(seconds < 20, "{seconds} s: {error}");
        error
    }

    #[test]
    fn no_xml_takes_more_than_linear_time() {
        let numbered = |count: usize, item: fn(usize) -> String| {
            (0..count).fold(String::new(), |mut text, number| {
                let _ = write!(text, "{}", item(number));
                text
            })
        };
        let attributes = numbered(300_000, |number| format!(" a{number}='1'"));
        assert_eq!(
            error(&format!("<net><layer{attributes}/></net>")),
            "it has more than 128 attributes of an element"
        );
        let nested = numbered(20_000, |number| format!("<a xmlns:p{number}='u{number}'>"));
        let nested = format!("{nested}{}", "</a>".repeat(20_000));
        assert_eq!(error(&nested), "it has more than 64 namespaces");
        let wide = numbered(20_000, |number| format!(" xmlns:p{number}='u'"));
        let wide = format!("<net{wide}>{}</net>", "<a/>".repeat(20_000));
        assert_eq!(error(&wide), "it has more than 64 namespaces");
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert_eq!(
            error(&deep),
            "it has more than 256 elements inside each other"
        );
        let many = format!("<net>{}</net>", "<a/>".repeat(MOST_ELEMENTS));
        assert_eq!(error(&many), "it has more than 4000000 elements");
        // A sign in a value is none of the text.
        parse("<net><a b='>' c='<'/></net>").unwrap_err();
        assert!(parse("<net><a b='>'/><!-- <a --><![CDATA[<a>]]></net>").is_ok());
        error("<!DOCTYPE net [<!ENTITY a 'b'>]><net>&a;</net>");
        error("<net><a></net>");
        error("<net");
        error("");
    }
}
