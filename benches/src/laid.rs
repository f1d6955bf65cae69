//! Arrays that lie alike in their pages.
//!
//! Where a store and a later load have the same place in their pages, processors take the one to be
//! about the other, and wait. Which arrays meet so is up to the allocator; here all contestants read
//! from and write to the same places.

use core::ops::{Deref, DerefMut};

/// What the places are told apart in.
const PAGE: usize = 4096;

/// Where in a page what is read begins.
pub const INPUT: usize = 0;

/// Where in a page what is written begins.
pub const OUTPUT: usize = PAGE / 2;

/// Values of which the first lies as far into a page as its size lets it.
#[derive(Debug)]
pub struct Laid<T> {
    values: Vec<T>,
    first: usize,
    count: usize,
}

impl<T: Copy> Laid<T> {
    /// The same values, the first of them `into_page` bytes into a page.
    #[must_use]
    pub fn new(values: &[T], into_page: usize) -> Self {
        let (bytes, count) = (size_of::<T>(), values.len());
        let Some(filler) = values.first() else {
            return Self { values: Vec::new(), first: 0, count };
        };
        let mut laid = vec![*filler; count + PAGE.div_ceil(bytes)];
        let begins = laid.as_ptr().addr();
        let first = (into_page + PAGE - begins % PAGE) % PAGE / bytes;
        laid[first..first + count].copy_from_slice(values);
        Self { values: laid, first, count }
    }
}

impl<T> Deref for Laid<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.first..self.first + self.count]
    }
}

impl<T> DerefMut for Laid<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.first..self.first + self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_and_begin_where_they_should() {
        let values: Vec<[u8; 24]> = (0..200).map(|value| [value; 24]).collect();
        for into_page in [INPUT, OUTPUT] {
            let laid = Laid::new(&values, into_page);
            assert_eq!(laid[..], values);
            let too_early = (into_page + PAGE - laid.as_ptr().addr() % PAGE) % PAGE;
            assert!(too_early < 24, "{too_early}");
        }
        assert_eq!(Laid::<u8>::new(&[], INPUT)[..], []);
    }
}
