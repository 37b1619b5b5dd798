//! The version of RTen, which is compiled in.

/// The version of RTen.
pub const VERSION: &str = "0.27.0";

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_one_that_is_pinned() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let pinned = format!("\nrten = {{ version = \"={}\"", super::VERSION);
        assert!(manifest.contains(&pinned), "{pinned}");
    }
}
