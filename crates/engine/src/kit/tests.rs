//! The kit itself: it accepts the model engine and rejects engines with one known fault each, for that fault.

use std::sync::Arc;

use super::{ModelEngine, Opened, World};

fn model(_world: &World) -> Opened {
    Ok(Arc::new(ModelEngine::default()))
}

crate::kit_tests!(model);
