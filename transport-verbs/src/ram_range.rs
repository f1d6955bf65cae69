//! Live guest RAM: a pointer and a length, never a reference.
//!
//! The guest, the adapter and other threads change it at any moment, so every access goes by relaxed
//! atomic words: what is read may be old or torn, and is never undefined.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Bytes between two looks at whether the work is still wanted.
const PIECE_BYTES: usize = 1024 * 1024;

/// What is zeroed at a time, unless it is zero already.
const PAGE_BYTES: usize = 4096;

const WORD_BYTES: usize = size_of::<u64>();

/// A range of memory that somebody else keeps mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RamRange {
    first: NonNull<u8>,
    length: usize,
}

// SAFETY: a range is no more than the right to touch memory by atomic operations, which every thread
// may do that knows the memory to be mapped. That is what `RamRange::new` asks of its caller.
unsafe impl Send for RamRange {}
// SAFETY: as above; all access is atomic.
unsafe impl Sync for RamRange {}

impl RamRange {
    /// # Safety
    ///
    /// The `length` bytes from `first` on stay mapped, readable and writable, for as long as this
    /// range or a part of it is used, and no reference to any of them exists in that time.
    pub(crate) const unsafe fn new(first: NonNull<u8>, length: usize) -> Self {
        Self { first, length }
    }

    pub(crate) const fn first(self) -> NonNull<u8> {
        self.first
    }

    /// Where the first byte is, as a number for the adapter.
    pub(crate) fn address(self) -> u64 {
        u64::try_from(self.first.addr().get()).unwrap_or_default()
    }

    pub(crate) const fn length(self) -> usize {
        self.length
    }

    /// `length` bytes from `offset` on, if they lie inside.
    pub(crate) fn part(self, offset: usize, length: usize) -> Option<Self> {
        let end = offset.checked_add(length)?;
        if end > self.length {
            return None;
        }
        // SAFETY: `offset` is at most the length of this range, so the result is in it or at its end.
        let first = unsafe { self.first.add(offset) };
        Some(Self { first, length })
    }

    /// Whether every byte is zero; `None` if it was cancelled before that was known.
    pub(crate) fn is_zero(self, cancelled: &AtomicBool) -> Option<bool> {
        for piece in self.pieces(PIECE_BYTES) {
            if cancelled.load(Ordering::Relaxed) {
                return None;
            }
            if !piece.is_all_zero() {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Sets every byte to zero; false if it was cancelled before all were. Pages that are zero are
    /// only read, so that the kernel need not give memory for them.
    pub(crate) fn zero(self, cancelled: &AtomicBool) -> bool {
        for piece in self.pieces(PIECE_BYTES) {
            if cancelled.load(Ordering::Relaxed) {
                return false;
            }
            for page in piece.pieces(PAGE_BYTES).filter(|page| !page.is_all_zero()) {
                page.each(|byte| byte.store(0, RELAXED), |word| word.store(0, RELAXED));
            }
        }
        true
    }

    /// Copies as many bytes out as `target` has room for; the caller has checked that there are as
    /// many.
    pub(crate) fn read(self, target: &mut [u8]) {
        let mut target = target.iter_mut();
        let mut put = |byte: u8| {
            if let Some(place) = target.next() {
                *place = byte;
            }
        };
        self.each_in_order(|part| match part {
            Part::Byte(byte) => put(byte.load(RELAXED)),
            Part::Word(word) => word.load(RELAXED).to_ne_bytes().into_iter().for_each(&mut put),
        });
    }

    /// Copies the bytes of `source` in; the caller has checked that there are as many.
    pub(crate) fn write(self, source: &[u8]) {
        let mut rest = source;
        self.each_in_order(|part| match part {
            Part::Byte(place) => {
                if let Some((byte, after)) = rest.split_first() {
                    place.store(*byte, RELAXED);
                    rest = after;
                }
            }
            Part::Word(place) => {
                if let Some((word, after)) = rest.split_first_chunk() {
                    place.store(u64::from_ne_bytes(*word), RELAXED);
                    rest = after;
                }
            }
        });
    }

    fn is_all_zero(self) -> bool {
        // Pieces are small enough that looking at all of one costs less than asking each word.
        self.pieces(PAGE_BYTES).all(|page| {
            let (mut bytes, mut words) = (0, 0);
            page.each(|byte| bytes |= byte.load(RELAXED), |word| words |= word.load(RELAXED));
            bytes == 0 && words == 0
        })
    }

    pub(crate) fn pieces(self, bytes: usize) -> impl Iterator<Item = Self> {
        let starts = (0..self.length).step_by(bytes);
        starts.filter_map(move |start| self.part(start, bytes.min(self.length - start)))
    }

    fn each(self, mut byte: impl FnMut(&AtomicU8), mut word: impl FnMut(&AtomicU64)) {
        self.each_in_order(|part| match part {
            Part::Byte(part) => byte(part),
            Part::Word(part) => word(part),
        });
    }

    /// Shows every byte once, in order: as many as can be as aligned words.
    #[inline]
    fn each_in_order(self, mut show: impl FnMut(Part<'_>)) {
        let head = self.first.align_offset(WORD_BYTES).min(self.length);
        let words = (self.length - head) / WORD_BYTES;
        let tail = head + words * WORD_BYTES;
        for offset in 0..head {
            show(Part::Byte(self.byte(offset)));
        }
        for index in 0..words {
            show(Part::Word(self.word(head + index * WORD_BYTES)));
        }
        for offset in tail..self.length {
            show(Part::Byte(self.byte(offset)));
        }
    }

    #[inline]
    fn byte(&self, offset: usize) -> &AtomicU8 {
        debug_assert!(offset < self.length);
        // SAFETY: every caller stays below the length.
        let place = unsafe { self.first.add(offset) };
        // SAFETY: `new` was promised mapped memory without references to it; this crate touches it
        // by atomic operations only.
        unsafe { AtomicU8::from_ptr(place.as_ptr()) }
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset + WORD_BYTES <= self.length);
        // SAFETY: every caller leaves a whole word before the end.
        let place = unsafe { self.first.add(offset) }.cast::<u64>();
        // SAFETY: as in `byte`; the one caller counts words from an aligned place on. Words and bytes
        // never overlap, since which bytes belong to words depends on their addresses alone; except
        // at the ends of ranges, where a mix of sizes yields old or torn bytes on real machines.
        unsafe { AtomicU64::from_ptr(place.as_ptr()) }
    }
}

enum Part<'a> {
    Byte(&'a AtomicU8),
    Word(&'a AtomicU64),
}

const RELAXED: Ordering = Ordering::Relaxed;

#[cfg(test)]
mod tests {
    use super::*;

    static WANTED: AtomicBool = AtomicBool::new(false);

    fn on<R>(bytes: &mut [u8], work: impl FnOnce(RamRange) -> R) -> R {
        let first = NonNull::new(bytes.as_mut_ptr()).unwrap();
        // SAFETY: the bytes are borrowed for longer than the range lives, and not touched meanwhile.
        work(unsafe { RamRange::new(first, bytes.len()) })
    }

    #[test]
    fn a_single_byte_anywhere_makes_a_range_non_zero() {
        let mut bytes = vec![0_u8; 3 * PAGE_BYTES + 5];
        assert_eq!(on(&mut bytes, |range| range.is_zero(&WANTED)), Some(true));
        for place in [0, 1, 7, 8, PAGE_BYTES, 2 * PAGE_BYTES - 1, 3 * PAGE_BYTES + 4] {
            bytes[place] = 1;
            assert_eq!(on(&mut bytes, |range| range.is_zero(&WANTED)), Some(false), "{place}");
            bytes[place] = 0;
        }
    }

    #[test]
    fn zeroing_touches_the_range_and_nothing_beside_it() {
        for (start, end) in [(0, 9000), (1, 8999), (7, 8), (8, 16), (3, 4096 + 3)] {
            let mut bytes = vec![0xa5_u8; 9000];
            assert!(on(&mut bytes[start..end], |range| range.zero(&WANTED)));
            assert!(bytes[start..end].iter().all(|byte| *byte == 0), "{start}..{end}");
            assert!(bytes[..start].iter().chain(&bytes[end..]).all(|byte| *byte == 0xa5));
        }
    }

    #[test]
    fn bytes_are_copied_whatever_their_alignment() {
        let pattern: Vec<u8> = (0..100).collect();
        for start in 0..9 {
            let mut bytes = [0xff_u8; 120];
            on(&mut bytes[start..start + 100], |range| range.write(&pattern));
            assert_eq!(bytes[start..start + 100], pattern);
            assert!(bytes[..start].iter().chain(&bytes[start + 100..]).all(|byte| *byte == 0xff));
            let mut copy = vec![0; 100];
            on(&mut bytes[start..start + 100], |range| range.read(&mut copy));
            assert_eq!(copy, pattern);
        }
    }

    #[test]
    fn cancelled_work_says_so() {
        let mut bytes = vec![1_u8; 16];
        let cancelled = AtomicBool::new(true);
        assert_eq!(on(&mut bytes, |range| range.is_zero(&cancelled)), None);
        assert!(!on(&mut bytes, |range| range.zero(&cancelled)));
        assert_eq!(bytes, [1; 16]);
    }

    #[test]
    fn a_part_never_reaches_past_the_end() {
        let mut bytes = [0_u8; 16];
        on(&mut bytes, |range| {
            assert_eq!(range.part(4, 12).map(RamRange::length), Some(12));
            assert_eq!(range.part(4, 13), None);
            assert_eq!(range.part(17, 0), None);
            assert_eq!(range.part(usize::MAX, 2), None);
        });
    }
}
