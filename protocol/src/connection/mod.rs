//! Before the first message and after the last: negotiation and closing.

mod close;
mod negotiate;

pub use close::{Closed, GuestOwner};
pub(crate) use close::{Close, CloseStep};
pub(crate) use negotiate::{Negotiator, confirm, offer};
pub use negotiate::{Negotiated, NewerVersion, PinAllOffer, PinAllPolicy};
