//! The engine of the book's chapter on writing one, judged by the kit. The chapter shows this very text.

mod folder_engine;

use std::sync::Arc;

use larder_engine::kit::{Opened, Rule, World};

const CHAPTER: &str = include_str!("../../../../docs/write-an-engine.md");
const LINES_MAX: usize = 200;

fn make(world: &World) -> Opened {
    Ok(Arc::new(folder_engine::open(world.services(), world.folder())?))
}

larder_engine::kit_tests!(make, survives power_cut);

/// The same on the disk of the machine.
mod on_the_machine {
    use super::*;

    fn make(world: &World) -> Opened {
        Ok(Arc::new(folder_engine::open(world.machine_services(), world.machine_folder())?))
    }

    larder_engine::kit_tests!(make, survives stop);
}

#[test]
fn the_chapter_shows_the_engine_that_is_judged() {
    let engine = include_str!("folder_engine.rs");
    let shown = CHAPTER.split("```rust\n").skip(1).filter_map(|block| block.split("```").next());
    assert!(
        shown.into_iter().any(|block| block == engine),
        "docs/write-an-engine.md must show crates/engine/tests/example_engine/folder_engine.rs as it is"
    );
    let lines = engine.lines().count();
    assert!(lines <= LINES_MAX, "the chapter promises at most {LINES_MAX} lines; there are {lines}");
}

#[test]
fn every_rule_the_kit_names_is_a_heading_of_the_chapter() {
    for rule in Rule::ALL {
        let heading = rule.heading();
        let stands = CHAPTER.lines().any(|line| line.trim_start_matches('#') == format!(" {heading}"));
        assert!(stands, "docs/write-an-engine.md has no heading `{heading}`");
    }
}
