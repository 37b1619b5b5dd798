//! pip's requirement files, as far as this project writes them: pinned versions with hashes.

use anyhow::{Result, bail, ensure};

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub name: String,
    pub version: String,
    /// The requirement as pip reads it.
    pub text: String,
}

/// Reads a requirement file. Anything but `name==version` with at least one SHA-256 is refused: nothing unpinned gets in.
pub fn parse(text: &str) -> Result<Vec<Requirement>> {
    let logical = text.replace("\\\n", " ").replace("\\\r\n", " ");
    let mut requirements = Vec::new();
    for line in logical
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        let pin = words.next().unwrap_or_default();
        let Some((name, version)) = pin.split_once("==") else {
            bail!("requirement {pin:?} is not pinned, expected name==version");
        };
        let mut line = vec![pin];
        for word in words {
            let hash = word.strip_prefix("--hash=sha256:").unwrap_or_default();
            ensure!(
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "requirement {name} has {word:?}, expected --hash=sha256: and 64 hexadecimal digits"
            );
            line.push(word);
        }
        ensure!(line.len() > 1, "requirement {name} has no hash");
        requirements.push(Requirement {
            name: name.to_owned(),
            version: version.to_owned(),
            text: line.join(" ") + "\n",
        });
    }
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_requirements_are_read_over_several_lines() {
        let (a, b) = ("a".repeat(64), "0".repeat(64));
        let parsed = parse(&format!(
            "# comment\none==1.2 \\\n    --hash=sha256:{a} \\\n    --hash=sha256:{b}\n\ntwo-words==3 --hash=sha256:{b}\n"
        ));
        let parsed = parsed.unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(
            (parsed[0].name.as_str(), parsed[0].version.as_str()),
            ("one", "1.2")
        );
        assert_eq!(
            parsed[0].text,
            format!("one==1.2 --hash=sha256:{a} --hash=sha256:{b}\n")
        );
        assert_eq!(parsed[1].text, format!("two-words==3 --hash=sha256:{b}\n"));
        assert_eq!(
            parse(&parsed[0].text).unwrap(),
            parsed[..1],
            "the text is a requirement file itself"
        );
    }

    #[test]
    fn unpinned_requirements_are_refused() {
        let hash = format!("--hash=sha256:{}", "a".repeat(64));
        for text in [
            "one",
            "one>=1",
            "one==1",
            "one==1 --hash=sha256:12",
            "one==1 --hash=md5:12",
            "--index-url x",
            &format!("one {hash}"),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_project_s_own_files_are_pinned() {
        for (text, count) in [
            (include_str!("../python/requirements/tools.txt"), 11),
            (include_str!("../python/requirements/data.txt"), 9),
            (include_str!("../python/requirements/source.txt"), 1),
            (include_str!("../python/requirements/fleet.txt"), 2),
        ] {
            assert_eq!(parse(text).unwrap().len(), count);
        }
    }
}
