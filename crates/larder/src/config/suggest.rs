//! The nearest known name to one that is not known.

/// Advice for an unknown name: the nearest known one, or all of them when none is near.
pub fn advice<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(unknown, &known) {
        Some(name) => format!("write `{name}`"),
        None => format!("known are {}", list(&known)),
    }
}

/// Names in backquotes, separated by commas.
pub fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name that takes the fewest edits, if few enough that it is probably meant.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    let unknown_chars = unknown.chars().count();
    known
        .iter()
        // Names differing this much in length cannot be near; the check also bounds the work on long input.
        .filter(|name| name.len().abs_diff(unknown_chars) <= edits_max(name))
        .map(|name| (edits(&unknown, name), *name))
        .filter(|(edits, name)| *edits <= edits_max(name))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// A third of the name may differ, at least one letter.
fn edits_max(name: &str) -> usize {
    (name.len() / 3).max(1)
}

/// Letters to insert, remove, replace or swap with their neighbour to get from one name to the other.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut table = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, row) in table.iter_mut().enumerate() {
        row[0] = i;
    }
    table[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let replaced = table[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    table[from.len()][to.len()]
}
