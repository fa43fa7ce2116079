use larder_protocol::Lookup;

use super::{Command, Needs, needs};

/// `mg` shows a stale item to one client with the right to renew it: two that came on one connection must be served
/// in their order, so the second counts as one that may change the item.
#[test]
fn look_ups_of_one_key_wait_for_each_other() {
    let lookup = Lookup {
        key: b"k",
        touch: None,
        vivify: None,
        recache_seconds: None,
        new_cas: None,
        unless_cas: None,
        bump: true,
        value: true,
    };
    assert!(matches!(needs(&Command::Lookup(lookup)), Needs::Key(b"k", true)));
}
