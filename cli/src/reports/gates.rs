//! The gates of all runs, as reports for people list them.

use evaluation::agreement::Gate;

/// A gate of a run, or of several with the same finding.
pub struct GateRow {
    /// The names of the runs; empty for a gate of the whole report, and if there is one run.
    pub run: String,
    pub gate: Gate,
    /// The remark on this row and on those before it that have the same one.
    pub remark: Option<String>,
}

/// Orders gates: failed ones first, then those with a remark. Runs with the same finding share a row, and a remark stands
/// once, with the names of its runs.
pub fn gate_rows(gates: impl IntoIterator<Item = (String, Gate)>) -> Vec<GateRow> {
    let mut found: Vec<(Vec<String>, Gate)> = Vec::new();
    for (run, gate) in gates {
        let is_same = |(_, other): &&mut (Vec<String>, Gate)| {
            (other.name, other.passed) == (gate.name, gate.passed)
                && (&other.found, &other.remark) == (&gate.found, &gate.remark)
        };
        match found.iter_mut().find(is_same) {
            Some((runs, _)) => runs.push(run),
            None => found.push((vec![run], gate)),
        }
    }
    found.sort_by_key(|(_, gate)| (gate.passed, gate.passed && gate.remark.is_none()));
    let row = |(place, (runs, gate)): (usize, &(Vec<String>, Gate))| GateRow {
        run: runs.join(", "),
        gate: gate.clone(),
        remark: gate
            .remark
            .as_ref()
            .and_then(|remark| shared_remark(&found, place, remark)),
    };
    found.iter().enumerate().map(row).collect()
}

/// Returns the remark of a gate; nothing if a later gate has the same one, and names if earlier gates have it too.
fn shared_remark(gates: &[(Vec<String>, Gate)], place: usize, remark: &str) -> Option<String> {
    let has_it = |(_, gate): &&(Vec<String>, Gate)| gate.remark.as_deref() == Some(remark);
    if gates[place + 1..].iter().any(|gate| has_it(&gate)) {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    let rows: Vec<&(Vec<String>, Gate)> = gates.iter().filter(has_it).collect();
    for run in rows.iter().flat_map(|(runs, _)| runs) {
        if !names.contains(&&**run) {
            names.push(run);
        }
    }
    if rows.len() == 1 || names.len() == 1 {
        return Some(remark.to_owned());
    }
    Some(format!("{}: {remark}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(found: &str, remark: Option<&str>) -> Gate {
        Gate {
            remark: remark.map(str::to_owned),
            ..Gate::new("max-drop", found != "bad", found.to_owned())
        }
    }

    fn rows(gates: &[(&str, Gate)]) -> Vec<(String, String, Option<String>)> {
        let gates = gates.iter().cloned();
        gate_rows(gates.map(|(run, gate)| (run.to_owned(), gate)))
            .into_iter()
            .map(|row| (row.run, row.gate.found, row.remark))
            .collect()
    }

    #[test]
    fn runs_with_the_same_finding_share_a_row() {
        let few = || gate("0", Some("too few"));
        let row = |run: &str, found: &str, remark: Option<&str>| {
            (run.to_owned(), found.to_owned(), remark.map(str::to_owned))
        };
        assert_eq!(
            rows(&[
                ("a", gate("0", None)),
                ("b", few()),
                ("c", gate("bad", None)),
                ("d", few())
            ]),
            [
                row("c", "bad", None),
                row("b, d", "0", Some("too few")),
                row("a", "0", None)
            ]
        );
    }

    #[test]
    fn a_remark_on_several_findings_stands_once_with_their_runs() {
        let hidden = |found: &str| gate(found, Some("hidden"));
        let rows = rows(&[
            ("a", hidden("1")),
            ("b", hidden("2")),
            ("c", gate("3", None)),
        ]);
        let remarks: Vec<Option<&str>> = rows.iter().map(|(.., it)| it.as_deref()).collect();
        assert_eq!(remarks, [None, Some("a, b: hidden"), None]);
    }
}
