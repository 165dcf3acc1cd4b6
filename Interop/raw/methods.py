"""The AMQP 0-9-1 methods, with RabbitMQ's extensions, in the order of their fields on the wire."""

_TABLE = """
connection.start 10 10 version_major:octet version_minor:octet server_properties:table mechanisms:long locales:long
connection.start-ok 10 11 client_properties:table mechanism:short response:long locale:short
connection.secure 10 20 challenge:long
connection.secure-ok 10 21 response:long
connection.tune 10 30 channel_max:u16 frame_max:u32 heartbeat:u16
connection.tune-ok 10 31 channel_max:u16 frame_max:u32 heartbeat:u16
connection.open 10 40 virtual_host:short capabilities:short insist:bit
connection.open-ok 10 41 known_hosts:short
connection.close 10 50 reply_code:u16 reply_text:short class_id:u16 method_id:u16
connection.close-ok 10 51
connection.blocked 10 60 reason:short
connection.unblocked 10 61
connection.update-secret 10 70 new_secret:long reason:short
connection.update-secret-ok 10 71
channel.open 20 10 out_of_band:short
channel.open-ok 20 11 channel_id:long
channel.flow 20 20 active:bit
channel.flow-ok 20 21 active:bit
channel.close 20 40 reply_code:u16 reply_text:short class_id:u16 method_id:u16
channel.close-ok 20 41
access.request 30 10 realm:short exclusive:bit passive:bit active:bit write:bit read:bit
access.request-ok 30 11 ticket:u16
exchange.declare 40 10 ticket:u16 exchange:short type:short passive:bit durable:bit auto_delete:bit internal:bit \
nowait:bit arguments:table
exchange.declare-ok 40 11
exchange.delete 40 20 ticket:u16 exchange:short if_unused:bit nowait:bit
exchange.delete-ok 40 21
exchange.bind 40 30 ticket:u16 destination:short source:short routing_key:short nowait:bit arguments:table
exchange.bind-ok 40 31
exchange.unbind 40 40 ticket:u16 destination:short source:short routing_key:short nowait:bit arguments:table
exchange.unbind-ok 40 51
queue.declare 50 10 ticket:u16 queue:short passive:bit durable:bit exclusive:bit auto_delete:bit nowait:bit \
arguments:table
queue.declare-ok 50 11 queue:short message_count:u32 consumer_count:u32
queue.bind 50 20 ticket:u16 queue:short exchange:short routing_key:short nowait:bit arguments:table
queue.bind-ok 50 21
queue.purge 50 30 ticket:u16 queue:short nowait:bit
queue.purge-ok 50 31 message_count:u32
queue.delete 50 40 ticket:u16 queue:short if_unused:bit if_empty:bit nowait:bit
queue.delete-ok 50 41 message_count:u32
queue.unbind 50 50 ticket:u16 queue:short exchange:short routing_key:short arguments:table
queue.unbind-ok 50 51
basic.qos 60 10 prefetch_size:u32 prefetch_count:u16 global_:bit
basic.qos-ok 60 11
basic.consume 60 20 ticket:u16 queue:short consumer_tag:short no_local:bit no_ack:bit exclusive:bit nowait:bit \
arguments:table
basic.consume-ok 60 21 consumer_tag:short
basic.cancel 60 30 consumer_tag:short nowait:bit
basic.cancel-ok 60 31 consumer_tag:short
basic.publish 60 40 ticket:u16 exchange:short routing_key:short mandatory:bit immediate:bit
basic.return 60 50 reply_code:u16 reply_text:short exchange:short routing_key:short
basic.deliver 60 60 consumer_tag:short delivery_tag:u64 redelivered:bit exchange:short routing_key:short
basic.get 60 70 ticket:u16 queue:short no_ack:bit
basic.get-ok 60 71 delivery_tag:u64 redelivered:bit exchange:short routing_key:short message_count:u32
basic.get-empty 60 72 cluster_id:short
basic.ack 60 80 delivery_tag:u64 multiple:bit
basic.reject 60 90 delivery_tag:u64 requeue:bit
basic.recover-async 60 100 requeue:bit
basic.recover 60 110 requeue:bit
basic.recover-ok 60 111
basic.nack 60 120 delivery_tag:u64 multiple:bit requeue:bit
confirm.select 85 10 nowait:bit
confirm.select-ok 85 11
tx.select 90 10
tx.select-ok 90 11
tx.commit 90 20
tx.commit-ok 90 21
tx.rollback 90 30
tx.rollback-ok 90 31
"""

#: name -> (class id, method id, [(field, type)])
METHODS = {}
#: (class id, method id) -> name
NAMES = {}
for _line in _TABLE.strip().split("\n"):
    _name, _class, _method, *_fields = _line.split()
    METHODS[_name] = (int(_class), int(_method), [tuple(field.split(":")) for field in _fields])
    NAMES[int(_class), int(_method)] = _name

#: Methods that a content header and body follow.
WITH_CONTENT = {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}

#: Content properties from the highest flag bit (15) down.
PROPERTIES = [
    ("content_type", "short"), ("content_encoding", "short"), ("headers", "table"), ("delivery_mode", "octet"),
    ("priority", "octet"), ("correlation_id", "short"), ("reply_to", "short"), ("expiration", "short"),
    ("message_id", "short"), ("timestamp", "u64"), ("type", "short"), ("user_id", "short"), ("app_id", "short"),
    ("cluster_id", "short"),
]

#: The name every reply text of a code begins with.
REPLY_CODES = {
    312: "NO_ROUTE", 320: "CONNECTION_FORCED", 403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED", 501: "FRAME_ERROR", 502: "SYNTAX_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME", 506: "RESOURCE_ERROR", 530: "NOT_ALLOWED", 540: "NOT_IMPLEMENTED", 541: "INTERNAL_ERROR",
}
