//! Sizes and offsets are those that a C compiler makes of the headers, in every profile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};
use std::process::Command;

use larder_module::raw::layout::*;
use support::{has_compiler, program};

type Layout = BTreeMap<(String, String), (usize, usize)>;

fn compiled(profile: &str) -> Layout {
    let define = format!("-DMEMCACHED_ENGINE_PROFILE=MEMCACHED_PROFILE_{profile}");
    let output = Command::new(program("layout.c", &[&define])).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut layout = Layout::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, structure, field, offset, size] = words[..] else { panic!("not a line of a layout: {line}") };
        let place = (offset.parse().unwrap(), size.parse().unwrap());
        layout.insert((structure.to_owned(), field.to_owned()), place);
    }
    layout
}

/// Checks all fields of a structure, and that the compiler names no others.
macro_rules! compare {
    ($layout:ident, $name:literal, $type:ty, $size:expr, [$($field:ident)*]) => {{
        let mut fields = 0;
        $(
            let offset = $layout[&($name.to_owned(), stringify!($field).to_owned())].0;
            assert_eq!(offset_of!($type, $field), offset, "{} {}", $name, stringify!($field));
            fields += 1;
        )*
        let known = $layout.keys().filter(|(structure, field)| structure == $name && field != "-").count();
        assert_eq!(fields, known, "fields of {}", $name);
        assert_eq!($size, $layout[&($name.to_owned(), "-".to_owned())].1, "size of {}", $name);
    }};
}

fn compare_common(layout: &Layout) {
    compare!(layout, "item_info", ItemInfo<1>, size_of::<ItemInfo<1>>(),
        [cas exptime nbytes flags clsid nkey nvalue key value]);
    compare!(layout, "iovec", Piece, size_of::<Piece>(), [iov_base iov_len]);
    compare!(layout, "feature_info", FeatureInfo, size_of::<FeatureInfo>(), [feature description]);
    compare!(layout, "auth_data", AuthData, size_of::<AuthData>(), [username config]);
    compare!(layout, "config_item", ConfigItem, size_of::<ConfigItem>(), [key datatype value found]);
    // C counts the first feature in.
    compare!(layout, "engine_info", EngineInfo, size_of::<EngineInfo>() + size_of::<FeatureInfo>(),
        [description num_features features]);
    compare!(layout, "extension", ExtensionTable, size_of::<ExtensionTable>(),
        [register_extension unregister_extension get_extension]);
    let scalars = [
        ("err", 4),
        ("operation", 4),
        ("event", 4),
        ("tap_event", 4),
        ("config_datatype", 4),
        ("bool", 1),
        ("rel_time", 4),
        ("time", 8),
        ("size", 8),
    ];
    for (name, size) in scalars {
        assert_eq!(layout[&(name.to_owned(), "-".to_owned())].1, size, "{name}");
    }
    assert_eq!(size_of::<Code>(), 4);
}

fn compare_later(layout: &Layout) {
    compare_common(layout);
    compare!(layout, "engine_interface_v1", EngineTable, size_of::<EngineTable>(),
        [interface get_info initialize destroy allocate remove release get store arithmetic flush get_stats reset_stats
            get_stats_struct aggregate_stats unknown_command tap_notify get_tap_iterator item_set_cas get_item_info
            errinfo]);
    compare!(layout, "core", CoreTable, size_of::<CoreTable>(),
        [get_current_time realtime abstime server_version hash parse_config shutdown get_config]);
    compare!(layout, "stat", StatTable, size_of::<StatTable>(), [new_stats release_stats evicting]);
    compare!(layout, "callback", CallbackTable, size_of::<CallbackTable>(), [register_callback perform_callbacks]);
    compare!(layout, "log", LogTable, size_of::<LogTable>(), [get_logger get_level set_level]);
}

/// The server's handle without the zero words behind it.
fn server_size(words: usize) -> usize {
    assert_eq!(size_of::<ServerTable>(), 8 * (9 + SPARE_WORDS));
    8 * words
}

#[test]
fn engine_pu_is_as_the_compiler_has_it() {
    if !has_compiler() {
        return;
    }
    let layout = &compiled("ENGINE_PU");
    compare_later(layout);
    compare!(layout, "server_handle", ServerTable, server_size(8),
        [interface core stat extension callback engine log cookie]);
    compare!(layout, "cookie", CookieTable, size_of::<CookieTable>(),
        [get_socket_fd get_auth_data store_engine_specific get_engine_specific notify_io_complete reserve release]);
}

#[test]
fn engine_pu_cb_is_as_the_compiler_has_it() {
    if !has_compiler() {
        return;
    }
    let layout = &compiled("ENGINE_PU_CB");
    compare_later(layout);
    compare!(layout, "server_handle", ServerTable, server_size(9),
        [interface core stat extension callback engine log cookie alloc_hooks]);
    compare!(layout, "cookie", CookieTable, size_of::<CookieTable>(),
        [get_socket_fd get_auth_data store_engine_specific get_engine_specific notify_io_complete reserve release]);
    compare!(layout, "alloc_hooks", AllocatorTable, size_of::<AllocatorTable>(),
        [add_new_hook remove_new_hook add_delete_hook remove_delete_hook get_extra_stats_size get_allocator_stats
            get_allocation_size get_detailed_stats]);
}

#[test]
fn beta1_is_as_the_compiler_has_it() {
    if !has_compiler() {
        return;
    }
    let layout = &compiled("BETA1");
    compare_later(layout);
    compare!(layout, "server_handle", ServerTable, server_size(8),
        [interface core stat extension callback engine log cookie]);
    compare!(layout, "cookie", CookieTableBeta1, size_of::<CookieTableBeta1>(),
        [get_socket_fd get_auth_data store_engine_specific get_engine_specific notify_io_complete set_tap_nack_mode
            reserve release]);
}

#[test]
fn april_2010_is_as_the_compiler_has_it() {
    if !has_compiler() {
        return;
    }
    let layout = &compiled("2010_04");
    compare_common(layout);
    compare!(layout, "engine_interface_v1", EngineTable, size_of::<EngineTable>() - 8,
        [interface get_info initialize destroy allocate remove release get store arithmetic flush get_stats reset_stats
            get_stats_struct aggregate_stats unknown_command tap_notify get_tap_iterator item_set_cas get_item_info]);
    compare!(layout, "server_handle", FlatTable, size_of::<FlatTable>(),
        [get_auth_data store_engine_specific get_engine_specific get_socket_fd server_version hash realtime
            notify_io_complete get_current_time parse_config new_stats release_stats count_eviction]);
    compare!(layout, "callback", CallbackTableWithoutHandle, size_of::<CallbackTableWithoutHandle>(),
        [register_callback perform_callbacks]);
}
