//! A migration as one line of text: whatever a run does follows from it, and it repeats the run.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use rdma_migration_protocol::connection::{PinAllOffer, PinAllPolicy};
use rdma_migration_protocol::destination::{DestinationConfig, Windows};
use rdma_migration_protocol::limits::{SIGNAL_INTERVAL_DEFAULT, WRITES_IN_FLIGHT_DEFAULT};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::{Registration, Source, SourceConfig};
use rdma_migration_transport_sim::{CostPreset, Fault, PAGE_BYTES, Side};

/// What the pages of a block hold at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fill {
    /// All pages hold something.
    Full,
    /// No page does.
    Zero,
    /// Some do.
    Mixed,
}

/// A RAM block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) pages: u64,
    pub(crate) fill: Fill,
}

impl Block {
    pub(crate) const fn bytes(self) -> u64 {
        self.pages * PAGE_BYTES
    }
}

/// A migration and what goes wrong in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Where all chance comes from.
    pub(crate) seed: u64,
    /// What things cost.
    pub(crate) cost: CostPreset,
    /// Each cost is multiplied by a random power of two, up to this one and down to its inverse.
    pub(crate) jitter: u32,
    pub(crate) pin: PinAllOffer,
    pub(crate) answer: PinAllPolicy,
    pub(crate) chunk_bytes: u64,
    pub(crate) registration: Registration,
    /// Chunks that are registered at a time, at most: at the source, and where registrations are given
    /// back at the destination too.
    pub(crate) pinned_chunks_max: Option<u64>,
    pub(crate) signal_interval: u32,
    pub(crate) writes_in_flight_max: u32,
    /// Whether the destination takes commands on RAM only in windows that its owner opens.
    pub(crate) windows_announced: bool,
    pub(crate) blocks: Vec<Block>,
    /// Whether the first round takes every second page, and then the others; else whole blocks.
    pub(crate) by_pages: bool,
    /// Rounds, at least one.
    pub(crate) rounds: usize,
    /// Pieces of RAM in each round that the guest has touched, beside the first round's all.
    pub(crate) work: usize,
    /// Whether a part of the work is to give registrations back, and the source does so for room.
    pub(crate) unregisters: bool,
    /// Stream bytes in front of each round, at least 1.
    pub(crate) head_bytes: usize,
    /// The last stream bytes, at least 1.
    pub(crate) tail_bytes: usize,
    /// Stream bytes that the destination takes at a time, at most.
    pub(crate) taken_at_once: usize,
    /// Whether the destination finishes only once its source is gone.
    pub(crate) finishes_late: bool,
    /// The longest time for which an owner does nothing, now and then.
    pub(crate) pause: Duration,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            cost: CostPreset::Qdr2013,
            jitter: 0,
            pin: PinAllOffer::Never,
            answer: PinAllPolicy::Accept,
            chunk_bytes: 1 << 20,
            registration: Registration::default(),
            pinned_chunks_max: None,
            signal_interval: SIGNAL_INTERVAL_DEFAULT,
            writes_in_flight_max: WRITES_IN_FLIGHT_DEFAULT,
            windows_announced: false,
            blocks: vec![Block { pages: 1, fill: Fill::Full }],
            by_pages: false,
            rounds: 1,
            work: 0,
            unregisters: false,
            head_bytes: 4,
            tail_bytes: 21,
            taken_at_once: usize::MAX,
            finishes_late: false,
            pause: Duration::ZERO,
            faults: Vec::new(),
        }
    }
}

impl Plan {
    pub(crate) fn with(&self, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { faults: faults.into_iter().collect(), ..self.clone() }
    }

    /// Whether the two sides come to an agreement.
    pub(crate) fn agrees(&self) -> bool {
        !matches!(
            (self.pin, self.answer),
            (PinAllOffer::Required, PinAllPolicy::Decline | PinAllPolicy::Refuse)
                | (PinAllOffer::Preferred, PinAllPolicy::Refuse)
        )
    }

    /// Whether all RAM is pinned.
    pub(crate) fn pins_all(&self) -> bool {
        self.pin != PinAllOffer::Never && self.answer == PinAllPolicy::Accept
    }

    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.blocks.iter().map(|block| block.bytes()).collect()
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.blocks.iter().map(|block| block.bytes().div_ceil(self.chunk_bytes)).sum()
    }

    pub(crate) const fn stream_bytes(&self) -> usize {
        self.head_bytes * self.rounds + self.tail_bytes
    }

    /// Chunks that are registered at a time on a side, at most.
    pub(crate) fn bound(&self, side: Side) -> Option<u64> {
        self.pinned_chunks_max.filter(|_| side == Side::Source || self.unregisters)
    }

    fn pinned_bytes_max(&self, side: Side) -> Option<u64> {
        self.bound(side).map(|chunks| chunks.saturating_mul(self.chunk_bytes))
    }

    /// Whether a source takes it.
    pub(crate) fn is_possible(&self) -> bool {
        Source::new(self.source_config()).is_ok()
    }

    fn chunk_size(&self) -> ChunkSize {
        ChunkSize::new(self.chunk_bytes).expect("a chunk size of the protocol")
    }

    pub(crate) fn source_config(&self) -> SourceConfig {
        SourceConfig {
            pin_all: self.pin,
            chunk_size: self.chunk_size(),
            registration: self.registration,
            signal_interval: self.signal_interval,
            writes_in_flight_max: self.writes_in_flight_max,
            peer_unregisters: self.unregisters,
            pinned_bytes_max: self.pinned_bytes_max(Side::Source),
            ..SourceConfig::default()
        }
    }

    pub(crate) fn destination_config(&self) -> DestinationConfig {
        let windows = if self.windows_announced { Windows::Announced } else { Windows::Anywhere };
        DestinationConfig {
            pin_all: self.answer,
            chunk_size: self.chunk_size(),
            windows,
            pinned_bytes_max: self.pinned_bytes_max(Side::Destination),
            ..DestinationConfig::default()
        }
    }
}

const OFFERS: [(&str, PinAllOffer); 3] = [
    ("never", PinAllOffer::Never),
    ("preferred", PinAllOffer::Preferred),
    ("required", PinAllOffer::Required),
];

const ANSWERS: [(&str, PinAllPolicy); 3] = [
    ("accept", PinAllPolicy::Accept),
    ("decline", PinAllPolicy::Decline),
    ("refuse", PinAllPolicy::Refuse),
];

const FILLS: [(char, Fill); 3] = [('f', Fill::Full), ('z', Fill::Zero), ('m', Fill::Mixed)];

fn name_of<N: Copy, T: Copy + PartialEq>(names: &[(N, T)], value: T) -> N {
    names.iter().find(|(_, each)| *each == value).expect("a name for each value").0
}

fn value_of<N: PartialEq, T: Copy>(names: &[(N, T)], name: N) -> Result<T, String> {
    names.iter().find(|(each, _)| *each == name).map(|(_, value)| *value).ok_or("unknown".into())
}

fn number<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Two numbers with a slash between them.
fn numbers<T, U>(text: &str) -> Result<(T, U), String>
where
    T: FromStr<Err: fmt::Display>,
    U: FromStr<Err: fmt::Display>,
{
    let (one, other) = text.split_once('/').ok_or("a slash is missing")?;
    Ok((number(one)?, number(other)?))
}

/// The name of a way to register, and its numbers.
fn registration_text(registration: Registration) -> String {
    match registration {
        Registration::Chunks => "chunks".to_owned(),
        Registration::Spans { chunks_max } => format!("spans/{chunks_max}"),
        Registration::LookAhead { chunks_max } => format!("ahead/{chunks_max}"),
        Registration::Batches { chunks_max, requests_max } => {
            format!("batches/{chunks_max}/{requests_max}")
        }
    }
}

fn registration(text: &str) -> Result<Registration, String> {
    Ok(match text.split_once('/') {
        None if text == "chunks" => Registration::Chunks,
        Some(("spans", chunks)) => Registration::Spans { chunks_max: number(chunks)? },
        Some(("ahead", chunks)) => Registration::LookAhead { chunks_max: number(chunks)? },
        Some(("batches", both)) => {
            let (chunks_max, requests_max) = numbers(both)?;
            Registration::Batches { chunks_max, requests_max }
        }
        _ => return Err("unknown".to_owned()),
    })
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.pages, name_of(&FILLS, self.fill))
    }
}

impl FromStr for Block {
    type Err = String;

    /// Reads the number of pages and the letter of what fills them: `3f`, `2z`, `5m`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (at, letter) = text.char_indices().last().ok_or("a block is empty")?;
        Ok(Self { pages: number(&text[..at])?, fill: value_of(&FILLS, letter)? })
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Plan {
    /// Writes whatever differs from the default.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signal =
            |plan: &Self| format!("{}/{}", plan.signal_interval, plan.writes_in_flight_max);
        let pinned =
            |plan: &Self| plan.pinned_chunks_max.map_or(String::new(), |max| max.to_string());
        let stream = |plan: &Self| format!("{}/{}", plan.head_bytes, plan.tail_bytes);
        let all = |plan: &Self| {
            [
                ("seed", plan.seed.to_string()),
                ("cost", plan.cost.to_string()),
                ("jitter", plan.jitter.to_string()),
                ("pin", name_of(&OFFERS, plan.pin).to_owned()),
                ("answer", name_of(&ANSWERS, plan.answer).to_owned()),
                ("chunk", plan.chunk_bytes.to_string()),
                ("registration", registration_text(plan.registration)),
                ("pinned", pinned(plan)),
                ("signal", signal(plan)),
                ("announced", plan.windows_announced.to_string()),
                ("blocks", list(&plan.blocks)),
                ("by-pages", plan.by_pages.to_string()),
                ("rounds", plan.rounds.to_string()),
                ("work", plan.work.to_string()),
                ("unregister", plan.unregisters.to_string()),
                ("stream", stream(plan)),
                ("taken", plan.taken_at_once.to_string()),
                ("late", plan.finishes_late.to_string()),
                ("pause", plan.pause.as_nanos().to_string()),
                ("faults", list(&plan.faults)),
            ]
        };
        let changed =
            all(self).into_iter().zip(all(&Self::default())).filter(|(own, usual)| own != usual);
        let words: Vec<_> = changed.map(|((key, value), _)| format!("{key}={value}")).collect();
        formatter.write_str(&words.join(" "))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for word in text.split_whitespace() {
            plan.set(word).map_err(|error| format!("{word}: {error}"))?;
        }
        if plan.blocks.is_empty() || plan.rounds == 0 || plan.head_bytes * plan.tail_bytes == 0 {
            return Err(format!("{text}: no block, no round or no stream"));
        }
        if !plan.is_possible() {
            return Err(format!("{text}: no source takes that"));
        }
        Ok(plan)
    }
}

impl Plan {
    fn set(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').ok_or("a value is missing")?;
        match key {
            "seed" => self.seed = number(value)?,
            "cost" => self.cost = number(value)?,
            "jitter" => self.jitter = number(value)?,
            "pin" => self.pin = value_of(&OFFERS, value)?,
            "answer" => self.answer = value_of(&ANSWERS, value)?,
            "chunk" => self.chunk_bytes = number(value)?,
            "registration" => self.registration = registration(value)?,
            "pinned" => self.pinned_chunks_max = Some(number(value)?),
            "signal" => (self.signal_interval, self.writes_in_flight_max) = numbers(value)?,
            "announced" => self.windows_announced = number(value)?,
            "blocks" => self.blocks = value.split(',').map(number).collect::<Result<_, _>>()?,
            "by-pages" => self.by_pages = number(value)?,
            "rounds" => self.rounds = number(value)?,
            "work" => self.work = number(value)?,
            "unregister" => self.unregisters = number(value)?,
            "stream" => (self.head_bytes, self.tail_bytes) = numbers(value)?,
            "taken" => self.taken_at_once = number(value)?,
            "late" => self.finishes_late = number(value)?,
            "pause" => self.pause = Duration::from_nanos(number(value)?),
            "faults" => self.faults = value.split(',').map(number).collect::<Result<_, _>>()?,
            _ => return Err("unknown".to_owned()),
        }
        Ok(())
    }
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let text = "seed=7 cost=free jitter=2 pin=preferred answer=decline chunk=2097152 \
                registration=batches/3/2 signal=2/3 announced=true blocks=3f,2z,5m by-pages=true rounds=3 work=4 unregister=true \
                stream=70000/9 taken=100 late=true pause=5000 faults=write-lost@2,scan-slow@1";
    let plan: Plan = text.parse().unwrap();
    assert_eq!(plan.to_string(), text);
    assert_eq!("".parse(), Ok(Plan::default()));
    for text in ["registration=chunks pinned=1", "registration=spans/2", "registration=ahead/1"] {
        assert_eq!(text.parse::<Plan>().map(|plan| plan.to_string()), Ok(text.to_owned()));
    }
    assert!("registration=ahead/1 pinned=1".parse::<Plan>().is_err());
    assert!("registration=spans/1/1".parse::<Plan>().is_err());
    assert!("blocks=".parse::<Plan>().is_err());
    assert!("faults=nothing@1".parse::<Plan>().is_err());
}
