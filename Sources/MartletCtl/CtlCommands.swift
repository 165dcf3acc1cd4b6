internal import PlainJSON

/// The commands there are.
enum CtlCommands {
    private static let onVirtualHost = CtlOption("vhost", short: "p", value: "vhost")

    private static let policyOptions = [
        onVirtualHost,
        CtlOption(
            "priority",
            value: "priority",
            isNumber: true,
            help: "of several that match, the highest counts (default: 0)"
        ),
        CtlOption(
            "apply-to",
            value: "apply-to",
            help: "queues, exchanges, all, classic_queues, quorum_queues or streams (default: all)"
        ),
    ]

    private static let policyArguments = [
        CtlArgument("name", "name of the policy"),
        CtlArgument("pattern", "regular expression that is looked for in the names of queues and exchanges"),
        CtlArgument("definition", "what the policy says, a JSON object such as {\"max-length\": 1000}"),
    ]

    private static let policyColumns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"]

    /// All of them, in the order in which they are listed for people.
    static let all: [CtlCommand] =
        policies + queues + lists + delays + routing + copies + [
            CtlCommand(
                "trace_on",
                "Has copies of a virtual host's messages published to amq.rabbitmq.trace, until the broker stops",
                options: [onVirtualHost],
                banner: { ["Starting tracing for vhost \"\($0.virtualHost)\" ..."] },
                success: { "Trace enabled for vhost \($0.virtualHost)" }
            ),
            CtlCommand(
                "trace_off",
                "Ends what trace_on has begun",
                options: [onVirtualHost],
                banner: { ["Stopping tracing for vhost \"\($0.virtualHost)\" ..."] },
                success: { "Trace disabled for vhost \($0.virtualHost)" }
            ),
        ]

    private static let policies = [
        CtlCommand(
            "set_policy",
            "Sets or updates a policy",
            options: policyOptions,
            arguments: policyArguments,
            banner: { ["Setting policy \(Self.setting($0))"] },
            members: { invocation throws(CtlFailure) in try Self.policy(invocation) }
        ),
        CtlCommand(
            "list_policies",
            "Lists all policies in a virtual host",
            options: [onVirtualHost],
            list: CtlList(policyColumns),
            banner: { ["Listing policies for vhost \"\($0.virtualHost)\" ..."] }
        ),
        CtlCommand(
            "clear_policy",
            "Clears (removes) a policy",
            options: [onVirtualHost],
            arguments: [CtlArgument("name", "name of the policy")],
            banner: { ["Clearing policy \"\($0.arguments[0])\" on vhost \"\($0.virtualHost)\" ..."] },
            members: { invocation throws(CtlFailure) in [.init("name", .string(invocation.arguments[0]))] }
        ),
        CtlCommand(
            "set_operator_policy",
            "Sets an operator policy that overrides a subset of arguments in user policies",
            options: policyOptions,
            arguments: policyArguments,
            banner: { ["Setting operator policy override \(Self.setting($0))"] },
            members: { invocation throws(CtlFailure) in try Self.policy(invocation) }
        ),
        CtlCommand(
            "list_operator_policies",
            "Lists operator policy overrides for a virtual host",
            options: [onVirtualHost],
            list: CtlList(policyColumns),
            banner: { ["Listing operator policy overrides for vhost \"\($0.virtualHost)\" ..."] }
        ),
        CtlCommand(
            "clear_operator_policy",
            "Clears an operator policy",
            options: [onVirtualHost],
            arguments: [CtlArgument("name", "name of the operator policy")],
            banner: { ["Clearing operator policy \"\($0.arguments[0])\" on vhost \"\($0.virtualHost)\" ..."] },
            members: { invocation throws(CtlFailure) in [.init("name", .string(invocation.arguments[0]))] }
        ),
    ]

    private static let queues = [
        CtlCommand(
            "alter_queue",
            "Changes arguments of a queue while it is used: its messages and consumers stay",
            options: [onVirtualHost],
            arguments: [
                CtlArgument("name", "name of the queue"),
                CtlArgument(
                    "arguments",
                    "what changes, a JSON object such as {\"x-max-priority\": 10, \"x-max-length\": null}; null removes"
                ),
            ],
            banner: { ["Altering queue \"\($0.arguments[0])\" on vhost \"\($0.virtualHost)\" ..."] },
            members: { invocation throws(CtlFailure) in
                guard let arguments = try? JSONValue(parsing: invocation.arguments[1]), case .object = arguments else {
                    throw CtlFailure(.usage, "arguments are a JSON object, not \(invocation.arguments[1])")
                }
                return [.init("name", .string(invocation.arguments[0])), .init("arguments", arguments)]
            }
        )
    ]

    private static let lists = [
        CtlCommand(
            "list_queues",
            "Lists queues and their properties",
            options: [
                onVirtualHost,
                CtlOption("online", help: "taken and ignored: every queue is"),
                CtlOption("local", help: "taken and ignored: every queue is"),
            ],
            list: CtlList(
                ["name", "messages"],
                others: [
                    "vhost", "type", "state", "durable", "auto_delete", "exclusive", "arguments", "policy",
                    "operator_policy", "effective_policy_definition", "messages_ready", "messages_unacknowledged",
                    "consumers",
                ]
            ),
            banner: {
                [
                    "Timeout: \($0.timeoutSeconds).0 seconds ...",
                    "Listing queues for vhost \($0.virtualHost) ...",
                ]
            }
        ),
        CtlCommand(
            "list_exchanges",
            "Lists exchanges",
            options: [onVirtualHost],
            list: CtlList(
                ["name", "type"],
                others: [
                    "vhost", "durable", "auto_delete", "internal", "arguments", "policy", "published", "duplicates",
                ]
            ),
            banner: { ["Listing exchanges for vhost \($0.virtualHost) ..."] }
        ),
        CtlCommand(
            "list_bindings",
            "Lists all bindings on a vhost",
            options: [onVirtualHost],
            list: CtlList(
                [
                    "source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments",
                ],
                others: ["vhost"]
            ),
            banner: { ["Listing bindings for vhost \($0.virtualHost)..."] }
        ),
        CtlCommand(
            "list_vhosts",
            "Lists virtual hosts",
            list: CtlList(["name"], others: []),
            banner: { _ in ["Listing vhosts ..."] }
        ),
    ]

    private static let delays = [
        CtlCommand(
            "list_delayed_messages",
            "Lists messages that wait for their time (x-delay, x-deliver-at, a queue's delay header, a retry)",
            options: [
                onVirtualHost,
                CtlOption("limit", value: "limit", isNumber: true, help: "rows at most, up to 10000 (default: 1000)"),
            ],
            list: CtlList(
                ["id", "exchange", "routing_key", "due", "persistent", "message_bytes"],
                others: ["queue"]
            ),
            banner: { ["Listing delayed messages for vhost \($0.virtualHost) ..."] },
            members: { invocation throws(CtlFailure) in
                [.init("limit", .integer(invocation.number("limit") ?? 1_000))]
            }
        ),
        CtlCommand(
            "cancel_delayed_message",
            "Drops a message that waits for its time",
            options: [onVirtualHost],
            arguments: [CtlArgument("id", "as list_delayed_messages shows it")],
            banner: { ["Cancelling delayed message \($0.arguments[0]) ..."] },
            members: { invocation throws(CtlFailure) in try Self.delayed(invocation) }
        ),
        CtlCommand(
            "reschedule_delayed_message",
            "Gives a message that waits another time",
            options: [onVirtualHost],
            arguments: [
                CtlArgument("id", "as list_delayed_messages shows it"),
                CtlArgument("delay", "milliseconds from now on, as in x-delay; 0 delivers it at once"),
            ],
            banner: { ["Rescheduling delayed message \($0.arguments[0]) to \($0.arguments[1]) ms from now ..."] },
            members: { invocation throws(CtlFailure) in
                try Self.delayed(invocation) + [.init("delay", try invocation.natural(1))]
            }
        ),
    ]

    private static let routing = [
        CtlCommand(
            "explain",
            "Tells what would become of a message and why: every exchange, binding and queue on its way; sends nothing",
            options: [
                onVirtualHost,
                CtlOption("exchange", value: "exchange", help: "where it is published (default: the default exchange)"),
                CtlOption("routing-key", value: "key", help: "its routing key (default: empty)"),
                CtlOption("headers", value: "headers", help: "its headers, a JSON object"),
                CtlOption("user", value: "user", help: "who publishes it"),
                CtlOption("expiration", value: "expiration", help: "its expiration property"),
                CtlOption("bytes", value: "bytes", isNumber: true, help: "size of its body (default: 0)"),
                CtlOption("persistent", help: "its delivery mode is 2"),
                CtlOption("mandatory", help: "it comes back when no queue gets it"),
            ],
            list: CtlList(["what", "name", "verdict", "reason"]),
            banner: {
                let exchange = $0.options["exchange"] ?? ""
                let key = $0.options["routing-key"] ?? ""
                return ["Explaining a message to exchange \"\(exchange)\" with routing key \"\(key)\" ..."]
            },
            members: { invocation throws(CtlFailure) in try Self.question(invocation) }
        ),
        CtlCommand(
            "list_unroutable",
            "Lists the last messages that no queue got, the newest first; see explain",
            options: [
                onVirtualHost,
                CtlOption("limit", value: "limit", isNumber: true, help: "rows at most (default: 100)"),
            ],
            list: CtlList(
                ["time", "exchange", "routing_key", "user", "fate", "connection"],
                others: ["vhost", "headers", "message_bytes"]
            ),
            banner: { ["Listing unroutable messages for vhost \($0.virtualHost) ..."] },
            members: { invocation throws(CtlFailure) in
                [.init("limit", .integer(max(0, invocation.number("limit") ?? 100)))]
            }
        ),
    ]

    private static let copies = [
        CtlCommand(
            "snapshot",
            "Copies everything durable, as it is at one moment, to a new directory that a broker can be started with",
            arguments: [
                CtlArgument("directory", "absolute path; the broker makes it, its user must be allowed to")
            ],
            banner: { ["Making a snapshot in \"\($0.arguments[0])\" ..."] },
            success: { "Snapshot made in \($0.arguments[0])" },
            members: { invocation throws(CtlFailure) in
                let directory = invocation.arguments[0]
                guard directory.hasPrefix("/") else {
                    throw CtlFailure(
                        .usage,
                        "the directory is an absolute path, for the broker makes it, not \(directory)"
                    )
                }
                return [.init("directory", .string(directory))]
            }
        )
    ]

    /// A message that waits: a number, and behind `@` the queue it waits in.
    private static func delayed(_ invocation: CtlInvocation) throws(CtlFailure) -> [JSONValue.Member] {
        let word = invocation.arguments[0]
        guard let mark = word.firstIndex(of: "@") else { return [.init("id", try invocation.natural(0))] }
        guard let number = Int64(word[..<mark]), number >= 0 else {
            throw CtlFailure(.usage, "the id of a message in a queue is <number>@<queue>, not \(word)")
        }
        return [.init("id", .integer(number)), .init("queue", .string(String(word[word.index(after: mark)...])))]
    }

    private static func question(_ invocation: CtlInvocation) throws(CtlFailure) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = [
            .init("exchange", .string(invocation.options["exchange"] ?? "")),
            .init("routing_key", .string(invocation.options["routing-key"] ?? "")),
            .init("mandatory", .bool(invocation.has("mandatory"))),
            .init("persistent", .bool(invocation.has("persistent"))),
            .init("bytes", .integer(max(0, invocation.number("bytes") ?? 0))),
        ]
        for name in ["user", "expiration"] {
            if let value = invocation.options[name] { members.append(.init(name, .string(value))) }
        }
        if let headers = invocation.options["headers"] {
            guard let table = try? JSONValue(parsing: headers), case .object = table else {
                throw CtlFailure(.usage, "headers are a JSON object, not \(headers)")
            }
            members.append(.init("headers", table))
        }
        return members
    }

    // MARK: Policies

    private static func setting(_ invocation: CtlInvocation) -> String {
        let arguments = invocation.arguments
        return "\"\(arguments[0])\" for pattern \"\(arguments[1])\" to \"\(arguments[2])\" "
            + "with priority \"\(invocation.number("priority") ?? 0)\" for vhost \"\(invocation.virtualHost)\" ..."
    }

    private static func policy(_ invocation: CtlInvocation) throws(CtlFailure) -> [JSONValue.Member] {
        guard let definition = try? JSONValue(parsing: invocation.arguments[2]) else {
            throw CtlFailure(.unavailable, "JSON decoding error. Reason: badarg")
        }
        return [
            .init("name", .string(invocation.arguments[0])),
            .init("pattern", .string(invocation.arguments[1])),
            .init("definition", definition),
            .init("priority", .integer(invocation.number("priority") ?? 0)),
            .init("apply_to", .string(invocation.options["apply-to"] ?? "all")),
        ]
    }
}
