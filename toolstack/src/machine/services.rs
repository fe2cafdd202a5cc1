//! Services: kept and told, nothing more.
//!
//! Owns the calls about them. What a service means is for `jitsu` to know.

use jitsu_proto::{ErrorCode, Event, Name, Response, RpcError, ServiceSpec};

use super::desk::{Purpose, ServiceCall};
use super::message::{Effect, Now};
use super::{Asking, Machine, exhausted};
use crate::record::{Ask, Author, Outcome, Phase, Record, Subject};

impl Machine {
    pub(super) fn asked_service(&mut self, now: Now, asking: Asking, out: &mut Vec<Effect>) {
        let Subject::Service(name) = asking.ask.subject() else {
            unreachable!("BUG: a call about a domain among those about services")
        };
        let is_known = self.services.contains_key(&name);
        let refusal = match &asking.ask {
            Ask::DefineService(..) if is_known => None,
            Ask::DefineService(..) if self.services.len() >= self.desk.limits.subjects_max => {
                Some(exhausted("there are as many services as limits.subjects_max allows"))
            }
            Ask::DefineService(..) => None,
            _ if is_known => None,
            _ => {
                let text = format!("there is no service named {name}");
                Some(RpcError::new(ErrorCode::NotFound, text))
            }
        };
        if let Some(refusal) = refusal {
            out.push(Effect::Reply(asking.ticket, Err(refusal)));
            return;
        }
        let mut record = asking.record(!is_known);
        let call = ServiceCall {
            ticket: asking.ticket,
            caller: asking.caller,
            trace: asking.trace,
            ask: asking.ask,
            asked: now.instant,
        };
        if call.is_count() {
            record.phase = Phase::Done;
            record.outcome = Some(Outcome::Ok);
        }
        self.desk.record(record, Purpose::Service(Box::new(call)), out);
    }

    pub(super) fn service_committed(
        &mut self,
        now: Now,
        call: ServiceCall,
        result: Result<(), RpcError>,
        out: &mut Vec<Effect>,
    ) {
        if let Err(error) = result {
            out.push(Effect::Reply(call.ticket, Err(error)));
            return;
        }
        out.push(Effect::Reply(call.ticket, Ok(Response::Done)));
        if call.is_count() {
            return;
        }
        let record = Record {
            subject: call.ask.subject(),
            writes: Vec::new(),
            method: call.ask.method(),
            arguments: call.ask.arguments(),
            author: Author::Caller(call.caller),
            trace: call.trace,
            phase: Phase::Done,
            outcome: Some(Outcome::Ok),
            duration: Some(now.instant - call.asked),
        };
        self.desk.record(record, Purpose::Note, out);
    }

    pub(super) fn service_changed(
        &mut self,
        name: Name,
        spec: Option<Box<ServiceSpec>>,
        out: &mut Vec<Effect>,
    ) {
        match spec {
            Some(spec) => {
                out.push(Effect::Publish(Event::Service(name.clone(), (*spec).clone())));
                self.services.insert(name, *spec);
            }
            None => {
                if self.services.remove(&name).is_some() {
                    out.push(Effect::Publish(Event::ServiceGone(name)));
                }
            }
        }
    }
}
