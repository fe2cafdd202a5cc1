//! The states through which two ends of a device come together (xen/include/public/io/xenbus.h).
//!
//! Owns what a network frontend does about its backend's state. Must not know the XenStore.

/// `XenbusState`: what one end of a device says about itself, a decimal number in its `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are the protocol's own words")]
pub enum State {
    Initialising = 1,
    InitWait = 2,
    Initialised = 3,
    Connected = 4,
    Closing = 5,
    Closed = 6,
}

/// What a frontend has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until the backend's state changes.
    Wait,
    /// Publish the rings and say `Connected`.
    Offer,
    /// Packets flow.
    Run,
    /// Say `Closed`: the backend is leaving.
    Close,
}

impl State {
    /// What stands in a `state` key.
    pub fn parse(text: &str) -> Option<State> {
        Some(match text {
            "1" => State::Initialising,
            "2" => State::InitWait,
            "3" => State::Initialised,
            "4" => State::Connected,
            "5" => State::Closing,
            "6" => State::Closed,
            _ => return None,
        })
    }
}

/// What a frontend in state `own` does about a backend in state `backend` (`None`: there is no
/// such key, or it says nothing known).
pub fn step(own: State, backend: Option<State>) -> Step {
    match (own, backend) {
        (State::Initialising, Some(State::InitWait | State::Initialised | State::Connected)) => {
            Step::Offer
        }
        (State::Connected, Some(State::Connected)) => Step::Run,
        (State::Connected, Some(State::Closing | State::Closed) | None) => Step::Close,
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_waited_for_and_followed() {
        let start = State::Initialising;
        assert_eq!(step(start, None), Step::Wait);
        assert_eq!(step(start, State::parse("1")), Step::Wait);
        assert_eq!(step(start, State::parse("2")), Step::Offer);
        assert_eq!(step(start, State::parse("6")), Step::Wait);
        assert_eq!(step(State::Connected, State::parse("2")), Step::Wait);
        assert_eq!(step(State::Connected, State::parse("4")), Step::Run);
        assert_eq!(step(State::Connected, State::parse("5")), Step::Close);
        assert_eq!(step(State::Connected, None), Step::Close);
        assert_eq!(step(State::Closed, State::parse("5")), Step::Wait);
    }

    #[test]
    fn states_are_decimal_numbers() {
        let words = ["1", "2", "3", "4", "5", "6"];
        let numbers = words.map(|word| State::parse(word).map(|state| state as u8));
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6].map(Some));
        assert_eq!(["", "0", "7", "04", "Connected"].map(State::parse), [None; 5]);
    }
}
