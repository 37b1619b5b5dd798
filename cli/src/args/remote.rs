//! The flags of remote engines, and models on servers as they are written.

use std::path::PathBuf;
use std::str::FromStr;

use backend_api::ElementType;

use super::values::MemorySize;

/// The flags of remote engines.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Remote engine (see docs/remote.md)")]
pub struct RemoteArgs {
    /// Remote: name of the input, if the server does not describe it
    #[arg(long, value_name = "NAME")]
    pub input_name: Option<String>,

    /// Remote: type of the input's elements, if the server does not describe it: fp32, fp16, uint8, …
    #[arg(long, value_name = "TYPE", value_parser = parse_datatype)]
    pub datatype: Option<ElementType>,

    /// Remote: maximum size of a request and of a reply [default: 4MB; at least 1 MiB; many servers refuse more than 4 MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_message: Option<MemorySize>,

    /// Remote: certificates in PEM to trust with grpcs:// [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Remote: file with the bearer token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Remote: environment variable with the bearer token
    #[arg(long, value_name = "VARIABLE", conflicts_with = "token_file")]
    pub token_env: Option<String>,
}

impl RemoteArgs {
    /// Returns the name of a flag that is given, if there is one.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--input-name", self.input_name.is_some()),
            ("--datatype", self.datatype.is_some()),
            ("--max-message", self.max_message.is_some()),
            ("--ca", self.ca.is_some()),
            ("--token-file", self.token_file.is_some()),
            ("--token-env", self.token_env.is_some()),
        ];
        let mut flags = flags.into_iter();
        flags.find_map(|(flag, is_given)| is_given.then_some(flag))
    }
}

/// Parses an element type by its name here or in the protocol.
fn parse_datatype(text: &str) -> Result<ElementType, String> {
    let named = [
        (ElementType::F32, "fp32"),
        (ElementType::F16, "fp16"),
        (ElementType::Bf16, "bf16"),
        (ElementType::F64, "fp64"),
        (ElementType::U8, "uint8"),
        (ElementType::I8, "int8"),
        (ElementType::U16, "uint16"),
        (ElementType::I16, "int16"),
        (ElementType::U32, "uint32"),
        (ElementType::I32, "int32"),
        (ElementType::U64, "uint64"),
        (ElementType::I64, "int64"),
    ];
    let is_called = |(element_type, name): &(ElementType, &str)| {
        [name, element_type.as_str()]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(text))
    };
    let found = named.iter().find(|named| is_called(named));
    found.map(|(element_type, _)| *element_type).ok_or_else(|| {
        let names = named.map(|(_, name)| name).join(", ");
        format!("expected one of {names}")
    })
}

/// The name of a model on a server, with its version: `NAME[:VERSION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    pub name: String,
    pub version: Option<String>,
}

impl FromStr for NamedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.rsplit_once(':') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || version.as_deref() == Some("") {
            return Err(
                "the name or the version of the model is empty; write NAME or NAME:VERSION"
                    .to_owned(),
            );
        }
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }
}

/// A model on servers: `grpc://host:port[,host:port…]/NAME[:VERSION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteModel {
    pub urls: Vec<String>,
    pub model: NamedModel,
}

impl FromStr for RemoteModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write remote=grpc://host:port/MODEL, or grpcs:// for TLS";
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let (hosts, model) = split_hosts(rest).ok_or(FORM)?;
        let model = model.parse().map_err(|error| format!("{error}; {FORM}"))?;
        let urls = [format!("{scheme}://{hosts}")];
        Ok(Self {
            urls: with_schemes(&urls),
            model,
        })
    }
}

/// Splits a list of addresses from the model behind the first slash that belongs to no `://`.
fn split_hosts(text: &str) -> Option<(&str, &str)> {
    let is_end = |&(place, _): &(usize, &str)| {
        let before = &text[..place];
        let is_scheme = text[place..].starts_with("//") && before.ends_with(':');
        !is_scheme && !before.ends_with(":/")
    };
    let (place, _) = text.match_indices('/').find(is_end)?;
    Some((&text[..place], &text[place + 1..]))
}

/// Returns the addresses of a list: the second and later ones may leave the scheme out.
pub fn with_schemes(urls: &[String]) -> Vec<String> {
    let parts = urls.iter().flat_map(|urls| urls.split(','));
    let parts: Vec<&str> = parts.map(str::trim).collect();
    let first = parts.first().and_then(|first| first.split_once("://"));
    let scheme = first.map_or("", |(scheme, _)| scheme);
    let complete = |part: &&str| {
        if part.contains("://") || scheme.is_empty() {
            (*part).to_owned()
        } else {
            format!("{scheme}://{part}")
        }
    };
    parts.iter().map(complete).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_on_servers_are_read() {
        let read = |text: &str| text.parse::<RemoteModel>();
        let model = read("grpcs://a:1,b:2,grpc://c:3/resnet:7").unwrap();
        assert_eq!(model.urls, ["grpcs://a:1", "grpcs://b:2", "grpc://c:3"]);
        assert_eq!(model.model.name, "resnet");
        assert_eq!(model.model.version.as_deref(), Some("7"));
        assert_eq!(read("grpc://a:1/team/net").unwrap().model.name, "team/net");
        for wrong in [
            "",
            "a:1/m",
            "grpc://a:1",
            "grpc://a:1/",
            "grpc://a:1/m:",
            "grpc://a:1/:1",
        ] {
            assert!(
                read(wrong)
                    .unwrap_err()
                    .contains("remote=grpc://host:port/MODEL"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn datatypes_have_two_names() {
        assert_eq!(parse_datatype("UINT8"), Ok(ElementType::U8));
        assert_eq!(parse_datatype("f16"), Ok(ElementType::F16));
        assert!(parse_datatype("bytes").unwrap_err().contains("fp32, fp16"));
    }
}
