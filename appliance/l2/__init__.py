"""Layer-2 ownership: which host answers ARP and NDP for a VIP, and when that moves.

One record a VIP (`vip.py`), one record a host and link (`neighbor.py`), one record a link (`link.py`). The shell hands
events to `machine.py` and does what the commands say; `event.py` has both. Of a VIP this host is in one state:

    state      what it means                      what its timer is for       what moves it on
    DOWN       no interface for it is up                                      links found: FREE
    FREE       nobody is known to answer          this host's turn to claim   turn: PROBING, OWNED if its owner failed
    PROBING    asks before it claims              the next of three probes    nobody answered: OWNED; others probe: FREE
    OWNED      answers                            the next announcement       another claims: CONTESTED
                                                                              drains, leaves, unlisted: OFFERED
                                                                              contact with all its links lost: PROBING
    CONTESTED  answers, and another host too      the next round              it stays: BACKUP; falls silent: OWNED
    OFFERED    answers, and wants to be rid       the next release            another claims: BACKUP; nobody left: OWNED
    BACKUP     another host answers                                           it failed or denies: FREE
                                                                              it releases: RELEASED
    RELEASED   another answers, and would not     this host's turn to claim   turn: OWNED; release not renewed: BACKUP

A claim that is heard makes it BACKUP everywhere but in OWNED, an interface that goes makes it DOWN everywhere.
`vip.TRANSITIONS` is the whole of it. The rules behind:

- An owner keeps a VIP as long as it lives, whatever anybody's plan says; it goes to another host only when its owner
  releases it or has failed. The planned order decides who takes what is free.
- Where nobody answers, the host in place n waits n times `succession_seconds` and probes. Where the owner failed or
  releases, the host in place 0 claims at once.
- Of two owners that hear each other the later one yields soon; where neither can know, their names decide.
- Silence proves something only on links where others answer. What a deaf or mute host holds to be so takes nothing.
"""
