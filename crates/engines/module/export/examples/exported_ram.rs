//! larder's RAM engine as a module. Its configuration is the bytes of memory it may take, 64 MiB if there is none.

use std::error::Error;
use std::sync::Arc;

use larder_engine::{Engine, Services};
use larder_ram::{RamEngine, RamOptions};

fn open(services: &Services, config: Option<&str>) -> Result<Arc<dyn Engine>, Box<dyn Error + Send + Sync>> {
    let memory_bytes = match config {
        None => 64 << 20,
        Some(text) => text.parse().map_err(|_| format!("\"{text}\" is no number of bytes"))?,
    };
    Ok(Arc::new(RamEngine::new(services.clone(), RamOptions::new(memory_bytes))))
}

larder_module_export::export_engine!(open);
