//! Shell completions and the manual page, from the definitions of the command line.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::args::Args;
use crate::args::examples::{
    CHECK_EXAMPLES, COMPARE_EXAMPLES, DEVICES_EXAMPLES, EVALUATE_EXAMPLES, EXAMPLES, EXIT_CODES,
    INSPECT_EXAMPLES, MERGE_EXAMPLES, TENSORS_EXAMPLES,
};
use crate::destination;

/// Prints the completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "classify", &mut script);
    destination::print(&script)
}

/// Prints the manual page: the program's, then that of each subcommand.
pub fn page() -> anyhow::Result<()> {
    let mut text = Vec::new();
    let mut command = Args::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(&mut text)?;
    sections(&command, EXAMPLES, &mut text)?;
    man.render_subcommands_section(&mut text)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"])
        .text([roman(EXIT_CODES)]);
    roff.to_writer(&mut text)?;
    man.render_version_section(&mut text)?;
    for subcommand in command.get_subcommands() {
        Man::new(subcommand.clone()).render_title(&mut text)?;
        let examples = match subcommand.get_name() {
            "inspect" => INSPECT_EXAMPLES,
            "tensors" => TENSORS_EXAMPLES,
            "check" => CHECK_EXAMPLES,
            "merge" => MERGE_EXAMPLES,
            "compare" => COMPARE_EXAMPLES,
            "evaluate" => EVALUATE_EXAMPLES,
            "devices" => DEVICES_EXAMPLES,
            _ => "",
        };
        sections(subcommand, examples, &mut text)?;
    }
    destination::print(&text)
}

/// Writes the sections that every command has. `clap_mangen` would call the examples EXTRA and run their lines together.
fn sections(command: &Command, examples: &str, text: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    if !examples.is_empty() {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(text)?;
    }
    Ok(())
}
