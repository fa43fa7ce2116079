//! Fetching memory ahead of its use.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Asks the processor to fetch the first cache line of `value`.
#[inline]
pub fn prefetch<T>(value: &T) {
    fetch(std::ptr::from_ref(value).cast());
}

/// Asks the processor to fetch every cache line of `value`.
#[inline]
pub fn prefetch_whole<T>(value: &T) {
    let first: *const u8 = std::ptr::from_ref(value).cast();
    for line in 0..size_of::<T>().div_ceil(LINE_BYTES) {
        fetch(first.wrapping_add(line * LINE_BYTES));
    }
}

#[inline]
fn fetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see and is free to name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
