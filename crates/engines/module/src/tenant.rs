//! Counting for tenants: an engine with tenants says, for each command anew, in whose block it counts.
//!
//! All of it on a cookie whose turn it is.

use larder_engine::{Direction, EngineError, ErrorKind, StatLines};

use crate::error::{breach, error_of};
use crate::port::Port;
use crate::raw::block::{self, Counter, NAMES};
use crate::raw::layout::Code;

impl Port {
    /// Counts in the tenant's block, if there are tenants and this connection is one's.
    #[inline]
    pub(crate) fn count(self, counters: &[Counter]) {
        if self.module.has_tenants() {
            self.count_for_tenant(counters);
        }
    }

    #[cold]
    fn count_for_tenant(self, counters: &[Counter]) {
        let block = self.module.stats_block(self.cookie);
        if !block.is_null() && !block::count(block, counters) {
            // Counted and logged like other breaches; the command itself is none.
            drop(breach(self.module, "get_stats_struct: it is no block from new_stats, or one given back"));
        }
    }

    /// A command that finds an item or does not.
    pub(crate) fn count_found<T>(self, answer: &Result<T, EngineError>, hit: &[Counter], miss: &[Counter]) {
        match answer {
            Ok(_) => self.count(hit),
            Err(error) if error.kind() == ErrorKind::NotFound => self.count(miss),
            Err(_) => {}
        }
    }

    /// A store; `compares`: only if the item has a certain CAS.
    pub(crate) fn count_store<T>(self, answer: &Result<T, EngineError>, compares: bool) {
        use Counter::{CasBadval, CasHits, CasMisses, CmdSet};
        let kind = answer.as_ref().err().map(EngineError::kind);
        match kind {
            None if compares => self.count(&[CmdSet, CasHits]),
            Some(ErrorKind::NotFound) if compares => self.count(&[CmdSet, CasMisses]),
            Some(ErrorKind::Exists) if compares => self.count(&[CmdSet, CasBadval]),
            _ => self.count(&[CmdSet]),
        }
    }

    /// An incr or decr.
    pub(crate) fn count_step<T>(self, answer: &Result<T, EngineError>, direction: Direction) {
        use Counter::{DecrHits, DecrMisses, IncrHits, IncrMisses};
        match direction {
            Direction::Increment => self.count_found(answer, &[IncrHits], &[IncrMisses]),
            Direction::Decrement => self.count_found(answer, &[DecrHits], &[DecrMisses]),
        }
    }

    /// The tenant's counters as lines; none if the connection is no tenant's.
    pub(crate) fn tenant_lines(self) -> StatLines {
        let block = self.module.stats_block(self.cookie);
        let values = Some(block).filter(|block| !block.is_null()).and_then(block::values);
        values.map(lines).unwrap_or_default()
    }

    /// The sums over all tenants.
    ///
    /// # Errors
    /// `Unsupported`: the engine has none.
    pub(crate) fn aggregate(self) -> Result<StatLines, EngineError> {
        match self.module.sum_of_blocks(self.cookie) {
            None => Err(ErrorKind::Unsupported.into()),
            Some((Code::SUCCESS, sums)) => Ok(lines(sums)),
            Some((code, _)) => Err(error_of(self.module, self.cookie, code)),
        }
    }
}

fn lines(values: block::Values) -> StatLines {
    NAMES.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}
