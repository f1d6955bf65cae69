//! Before the first message and after the last: negotiation and closing.

mod close;
mod negotiate;

pub(crate) use close::{Close, CloseOrder, CloseStep};
pub use close::{Closed, GuestOwner};
pub use negotiate::{Negotiated, NewerVersion, PinAllOffer, PinAllPolicy};
pub(crate) use negotiate::{Negotiator, confirm, offer};
