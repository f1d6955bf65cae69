//! The allocator of all fuzz targets: the system's, and it counts bytes, thread by thread.
//!
//! It is here and not a library because it must hand on `alloc_zeroed`: readers of captures take
//! megabytes of zeroes in each execution, which the system gives without writing them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes since the measurement began, which may be fewer than none.
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// The most of them.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// What a call has allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Used {
    /// Bytes more than before it, at its end.
    pub held: i64,
    /// Bytes more than before it, at most.
    pub peak: usize,
}

/// Counts what a call allocates on this thread. Measurements may lie within each other.
pub fn measure(call: impl FnOnce()) -> Used {
    let (held_before, peak_before) = (HELD.replace(0), PEAK.replace(0));
    call();
    let (held, peak) = (HELD.get(), PEAK.get());
    HELD.set(held_before + held);
    PEAK.set(peak_before.max(held_before + peak));
    Used { held, peak: usize::try_from(peak).unwrap_or_default() }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(more: usize, less: usize) {
    let change = i64::try_from(more).unwrap_or(i64::MAX) - i64::try_from(less).unwrap_or(i64::MAX);
    let held = HELD.get() + change;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: Every call is handed on to the system's allocator as it is, and so is its answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while the bytes are copied.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn what_is_given_back_counts_for_the_most_and_not_for_the_end() {
        let mut kept = None;
        let outer = measure(|| {
            let inner = measure(|| {
                drop(black_box(vec![1_u8; 1000]));
                kept = Some(black_box(vec![0_u8; 300]));
            });
            assert_eq!(inner, Used { held: 300, peak: 1000 });
        });
        assert_eq!(outer, Used { held: 300, peak: 1000 });
        assert_eq!(measure(|| drop(kept)), Used { held: -300, peak: 0 });
    }

    #[test]
    fn a_list_that_grows_is_there_twice_for_a_moment() {
        let grown = measure(|| {
            let mut list = black_box(Vec::<u8>::with_capacity(100));
            list.reserve_exact(200);
            black_box(list);
        });
        assert_eq!(grown, Used { held: 0, peak: 300 });
    }
}
