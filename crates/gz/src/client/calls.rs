//! Services that we ask: a connection for the question, and the one that the answer comes over.

use super::{LOOK, Shared, greet, lock, open};
use crate::{
    GzError, discovery,
    messages::{Publisher, PublisherKind, ServicePublisher},
    queue::Queue,
    zmtp::{self, Incoming, SocketType},
};
use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// A question about who offers a service is asked anew so often.
const ASK: Duration = Duration::from_secs(1);

/// What a service says.
pub(super) struct Answer {
    /// The message.
    pub body: Vec<u8>,
    /// Whether it did what it was asked for.
    pub worked: bool,
}

impl Shared {
    /// Who offers a service, looked for at most `limit`.
    pub(super) fn find_service(&self, topic: &str, limit: Duration) -> Option<Publisher> {
        let start = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            let found = lock(&self.services.directory).offers(topic).next().cloned();
            if found.is_some() || start.elapsed() >= limit || self.stopped() {
                return found;
            }
            if asked.is_none_or(|at| at.elapsed() >= ASK) {
                asked = Some(Instant::now());
                self.services.say(&discovery::question(&self.uuid, topic));
            }
            std::thread::sleep(LOOK.min(limit));
        }
    }

    /// Asks whoever offers a service; `None` when no answer comes in time.
    pub(super) fn ask(
        &self,
        offer: &Publisher,
        topic: &str,
        question: &[u8],
        limit: Duration,
    ) -> Result<Option<Answer>, GzError> {
        let failed = |source| GzError::Socket { what: format!("asking {topic}"), source };
        let Some(PublisherKind::Service(ServicePublisher { request_type, response_type, .. })) = &offer.kind else {
            return Err(GzError::Message { what: topic.to_owned(), reason: "is no service".to_owned() });
        };
        let Some(address) = discovery::address(&offer.address).filter(|a| self.believes(*a.ip())) else {
            return Err(GzError::Message { what: topic.to_owned(), reason: format!("offered at {}", offer.address) });
        };
        let id = format!("{}-{}", self.uuid, self.next_question.fetch_add(1, Ordering::Relaxed));
        let waiting = Arc::new(Queue::new(1));
        lock(&self.questions).insert(id.clone(), waiting.clone());
        let asked = open(address, SocketType::Dealer, b"").and_then(|mut stream| {
            let texts = [topic, &self.answers_address, &self.answers_to, &self.node, &id].map(str::as_bytes);
            let [a, b, c, d, e] = texts;
            stream.write_all(&zmtp::message(&[
                a,
                b,
                c,
                d,
                e,
                question,
                request_type.as_bytes(),
                response_type.as_bytes(),
            ]))?;
            Ok(stream)
        });
        let answer = asked.as_ref().ok().and_then(|_| waiting.wait(limit));
        lock(&self.questions).remove(&id);
        asked.map_err(failed)?;
        Ok(answer)
    }

    /// Hears the answers that somebody's services send.
    pub(super) fn hear_answers(&self, mut stream: TcpStream) -> std::io::Result<()> {
        greet(&mut stream, SocketType::Router, self.answers_to.as_bytes())?;
        // Nothing else ends this thread when the client does.
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut first = [0];
        while !self.stopped() {
            match stream.peek(&mut first) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    if let Incoming::Message(frames) = zmtp::read(&mut stream)? {
                        self.take_answer(&frames);
                    }
                }
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn take_answer(&self, frames: &[Vec<u8>]) {
        let [_, _, id, body, worked] = frames else { return };
        let waiting = std::str::from_utf8(id).ok().and_then(|id| lock(&self.questions).get(id).cloned());
        if let Some(waiting) = waiting {
            waiting.push(Answer { body: body.clone(), worked: worked == b"1" });
        }
    }
}
