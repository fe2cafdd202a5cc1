//! The summoner, told step by step.

use super::*;
use jitsu_proto::{Front, Millis, StartOn};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 1, 2, 3));

/// A summoner with one service `www`, and its clock.
struct Story {
    summoner: Summoner,
    start: Instant,
    now: Instant,
    www: Name,
}

impl Story {
    fn new(spec: ServiceSpec) -> Story {
        let now = Instant::now();
        let www = Name::new("www").expect("a name");
        let mut summoner = Summoner::new(Limits { clients_max: 4, ..Limits::default() });
        summoner.handle(now, &www, Input::Defined(spec), &mut Vec::new());
        Story { summoner, start: now, now, www }
    }

    /// What comes of `input`, in words.
    fn then(&mut self, input: Input) -> String {
        let mut out = Vec::new();
        self.summoner.handle(self.now, &self.www, input, &mut out);
        words(&out)
    }

    /// What has come when so many milliseconds have passed since the start.
    fn at(&mut self, ms: u64) -> String {
        let mut out = Vec::new();
        let until = self.start + Duration::from_millis(ms);
        while let Some(deadline) = self.summoner.deadline().filter(|deadline| *deadline <= until) {
            self.now = deadline;
            self.summoner.tick(deadline, &mut out);
            assert!(self.summoner.deadline().is_none_or(|next| next > deadline));
        }
        self.now = until;
        words(&out)
    }

    fn phase(&self) -> &'static str {
        self.summoner.phase(&self.www).expect("it is defined").word()
    }
}

fn words(out: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Start(_, boot) => format!("start {}", boot.0),
        Effect::Stop(_, boot, _) => format!("stop {}", boot.0),
        Effect::Answer(ticket, None) => format!("answer {} front", ticket.0),
        Effect::Answer(ticket, Some(_)) => format!("answer {} guest", ticket.0),
        Effect::Connect(ticket, _) => format!("connect {}", ticket.0),
        Effect::Refuse(ticket, why) => format!("refuse {}: {why}", ticket.0),
    };
    out.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn spec() -> ServiceSpec {
    ServiceSpec {
        idle: Millis(1000),
        ttl: Millis(500),
        hold_max: Millis(300),
        clients_max: 3,
        ..ServiceSpec::default()
    }
}

#[test]
fn a_question_wakes_and_the_connection_is_held() {
    let mut story = Story::new(spec());
    assert_eq!(story.then(Input::Asked(Ticket(1))), "answer 1 front, start 1");
    assert_eq!(story.then(Input::Asked(Ticket(2))), "answer 2 front");
    assert_eq!(story.then(Input::Arrived(Ticket(3))), "");
    assert_eq!(story.then(Input::Arrived(Ticket(4))), "");
    assert_eq!(story.then(Input::Started(Boot(1), ADDRESS)), "connect 3, connect 4");
    assert_eq!(story.then(Input::Arrived(Ticket(5))), "connect 5");
    assert_eq!(story.at(5000), "", "live connections keep it awake");
    for ticket in 3..6 {
        story.then(Input::Left(Ticket(ticket)));
    }
    assert_eq!(story.at(5999), "");
    assert_eq!(story.at(6000), "stop 1");
    assert_eq!(story.then(Input::Arrived(Ticket(6))), "");
    assert_eq!(story.then(Input::Stopped(Boot(1), None)), "start 2");
    assert_eq!(story.then(Input::Started(Boot(2), ADDRESS)), "connect 6");
}

#[test]
fn a_direct_front_answers_when_the_guest_is_ready() {
    let mut story = Story::new(ServiceSpec { front: Front::Direct, ..spec() });
    assert_eq!(story.then(Input::Asked(Ticket(1))), "start 1");
    assert_eq!(story.then(Input::Asked(Ticket(2))), "");
    assert_eq!(story.then(Input::Started(Boot(1), ADDRESS)), "answer 1 guest, answer 2 guest");
    assert_eq!(story.then(Input::Asked(Ticket(3))), "answer 3 guest");
    assert_eq!(story.then(Input::Live(1)), "");
    assert_eq!(story.at(5000), "", "connections that we do not carry keep it awake too");
    assert_eq!(story.then(Input::Live(0)), "");
    assert_eq!(story.at(5999), "");
    assert_eq!(story.at(6000), "stop 1");
}

#[test]
fn a_guest_that_is_never_ready_is_stopped_and_left_alone() {
    let mut story = Story::new(spec());
    assert_eq!(story.then(Input::Arrived(Ticket(1))), "start 1");
    assert_eq!(story.at(299), "");
    assert_eq!(story.then(Input::Arrived(Ticket(2))), "");
    assert_eq!(
        story.at(300),
        "refuse 1: the service was not ready in time, \
         refuse 2: the service was not ready in time, stop 1"
    );
    let failed = "the service failed: it was not ready within 300ms";
    assert_eq!(story.then(Input::Arrived(Ticket(3))), format!("refuse 3: {failed}"));
    assert_eq!(story.then(Input::Started(Boot(1), ADDRESS)), "", "too late");
    assert_eq!(story.then(Input::Stopped(Boot(1), None)), "");
    assert_eq!(story.then(Input::Asked(Ticket(4))), format!("refuse 4: {failed}"));
    assert_eq!(story.phase(), "failed");
    story.at(1300);
    assert_eq!(story.phase(), "asleep");
    assert_eq!(story.then(Input::Arrived(Ticket(5))), "start 2");
    assert_eq!(
        story.then(Input::Stopped(Boot(2), Some("no memory".into()))),
        "refuse 5: the service failed: no memory"
    );
    story.at(3299);
    assert_eq!(story.phase(), "failed", "twice as long the second time");
    story.at(3300);
    assert_eq!(story.phase(), "asleep");
}

#[test]
fn a_guest_that_looks_ready_too_soon_is_held() {
    let mut story = Story::new(ServiceSpec { hold_min: Millis(100), ..spec() });
    story.then(Input::Arrived(Ticket(1)));
    assert_eq!(story.then(Input::Started(Boot(1), ADDRESS)), "");
    assert_eq!(story.at(99), "");
    assert_eq!(story.at(100), "connect 1");
}

#[test]
fn what_wakes_is_configured() {
    let mut story = Story::new(ServiceSpec { start_on: StartOn::Connection, ..spec() });
    assert_eq!(story.then(Input::Asked(Ticket(1))), "answer 1 front");
    assert_eq!(story.then(Input::Arrived(Ticket(2))), "start 1");
    let mut story = Story::new(ServiceSpec { start_on: StartOn::Dns, ..spec() });
    let asleep = "refuse 1: the service sleeps and this does not wake it";
    assert_eq!(story.then(Input::Arrived(Ticket(1))), asleep);
    assert_eq!(story.then(Input::Asked(Ticket(2))), "answer 2 front, start 1");
    assert_eq!(story.then(Input::Arrived(Ticket(3))), "");
    assert_eq!(story.then(Input::Started(Boot(1), ADDRESS)), "connect 3");
}

#[test]
fn clients_are_bounded_per_service_and_in_all() {
    let mut story = Story::new(spec());
    for ticket in 1..4 {
        story.then(Input::Arrived(Ticket(ticket)));
    }
    assert_eq!(story.then(Input::Arrived(Ticket(4))), "refuse 4: too many clients");
    story.then(Input::Started(Boot(1), ADDRESS));
    assert_eq!(story.then(Input::Arrived(Ticket(5))), "refuse 5: too many clients");
    story.www = Name::new("other").expect("a name");
    story.then(Input::Defined(spec()));
    assert_eq!(story.then(Input::Arrived(Ticket(6))), "start 1");
    assert_eq!(story.then(Input::Arrived(Ticket(7))), "refuse 7: too many clients");
    assert_eq!(story.then(Input::Forgotten), "refuse 6: no such service");
    assert_eq!(story.then(Input::Arrived(Ticket(8))), "refuse 8: no such service");
    assert_eq!(story.summoner.clients(), 3);
}

#[test]
fn a_domain_that_was_found_running_is_used_and_put_to_sleep() {
    let mut story = Story::new(spec());
    assert_eq!(story.then(Input::Found(ADDRESS)), "");
    assert_eq!(story.then(Input::Arrived(Ticket(1))), "connect 1");
    story.then(Input::Left(Ticket(1)));
    assert_eq!(story.at(1000), "stop 1");
    assert_eq!(story.then(Input::Found(ADDRESS)), "", "it is going");
    assert_eq!(story.phase(), "stopping");
}

#[test]
fn a_settled_guest_that_dies_may_be_woken_at_once() {
    let mut story = Story::new(spec());
    story.then(Input::Arrived(Ticket(1)));
    story.then(Input::Started(Boot(1), ADDRESS));
    story.at(20_000);
    assert_eq!(story.then(Input::Stopped(Boot(1), Some("killed".into()))), "");
    assert_eq!(story.phase(), "asleep");
    assert_eq!(story.then(Input::Arrived(Ticket(2))), "start 2");
    assert_eq!(story.then(Input::Left(Ticket(1))), "", "its end is of no matter");
    story.then(Input::Started(Boot(2), ADDRESS));
    story.then(Input::Stopped(Boot(2), Some("killed".into())));
    assert_eq!(story.phase(), "failed", "it had not settled");
}
