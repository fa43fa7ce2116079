//! Which of our crates may depend on which: the architecture's arrows, as a table.

use super::Finding;
use serde_json::Value;

/// What the crates under a folder may depend on, of ours. Development dependencies are free: an
/// engine's tests may stack it on another engine.
struct Rule {
    /// A crate's folder; with a final `/*`, every crate in that folder.
    folder: &'static str,
    may_know: MayKnow,
}

enum MayKnow {
    Everything,
    Only(&'static [&'static str]),
}

const RULES: &[Rule] = &[
    Rule { folder: "crates/engine", may_know: MayKnow::Only(&[]) },
    Rule { folder: "crates/protocol", may_know: MayKnow::Only(&[]) },
    Rule { folder: "crates/server", may_know: MayKnow::Only(&["larder-engine", "larder-protocol"]) },
    Rule {
        folder: "crates/engines/module/export",
        may_know: MayKnow::Only(&["larder-engine", "larder-module"]),
    },
    Rule { folder: "crates/engines/module/utilities", may_know: MayKnow::Only(&[]) },
    Rule {
        folder: "crates/engines/module",
        may_know: MayKnow::Only(&["larder-engine", "larder-module-utilities"]),
    },
    Rule { folder: "crates/engines/*", may_know: MayKnow::Only(&["larder-engine"]) },
    Rule { folder: "crates/larder", may_know: MayKnow::Everything },
    Rule { folder: "bench", may_know: MayKnow::Only(&["larder-protocol"]) },
    Rule { folder: "crash", may_know: MayKnow::Only(&["larder-protocol"]) },
    Rule { folder: "differ", may_know: MayKnow::Only(&["larder-crash"]) },
    Rule { folder: "xtask", may_know: MayKnow::Only(&[]) },
];

pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    // Only packages from a registry or a git repository have a source.
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    let our_names: Vec<&str> = ours.iter().filter_map(|package| package["name"].as_str()).collect();
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    ours.iter().flat_map(|package| check_package(package, root, &our_names)).collect()
}

fn check_package(package: &Value, root: &str, our_names: &[&str]) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
    let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/');

    let Some(rule) = RULES.iter().find(|rule| rule.covers(folder)) else {
        let message = format!(
            "no rule says what {name} may depend on: add one for `{folder}` to xtask/src/tidy/edges.rs"
        );
        return vec![Finding::error(manifest, 0, message)];
    };
    let MayKnow::Only(allowed) = rule.may_know else {
        return Vec::new();
    };
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str())
        .filter(|dependency| our_names.contains(dependency) && !allowed.contains(dependency))
        .map(|dependency| {
            let allowed =
                if allowed.is_empty() { "none of our crates".into() } else { allowed.join(" and ") };
            let message = format!(
                "{name} must not depend on {dependency}; it may know {allowed}: \
                 move what it needs, or pass it in from larder"
            );
            Finding::error(manifest, 0, message)
        })
        .collect()
}

impl Rule {
    fn covers(&self, folder: &str) -> bool {
        match self.folder.strip_suffix("/*") {
            Some(parent) => folder.rsplit_once('/').is_some_and(|(above, _)| above == parent),
            None => folder == self.folder,
        }
    }
}
