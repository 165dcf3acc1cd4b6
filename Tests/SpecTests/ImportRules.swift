/// Which target may import what: the edges of the design's dependency picture.
struct ImportRules {
    /// What a target may see.
    private struct Rule {
        /// Modules of ours.
        var ours: Set<String> = []
        /// Other people's modules, when there are so few that the list is closed; nil leaves them to the manifest.
        var others: Set<String>?
        /// Whether SwiftNIO's modules are allowed.
        var usesNIO = false
        /// Whether Foundation is allowed.
        var usesFoundation = false
    }

    private static let rules: [String: Rule] = [
        "AMQPProtocol": Rule(others: []),
        "BrokerCore": Rule(ours: ["AMQPProtocol"], others: ["DequeModule"]),
        "BrokerStore": Rule(ours: ["CChecksum"], others: ["Darwin", "Glibc", "Musl", "Synchronization"]),
        "BrokerServer": Rule(
            ours: ["AMQPProtocol", "BrokerCore", "BrokerStore", "CMalloc", "PlainJSON"],
            usesNIO: true
        ),
        "BrokerManagement": Rule(ours: ["AMQPProtocol", "BrokerCore"], usesFoundation: true),
        "BrokerSimulation": Rule(ours: ["AMQPProtocol", "BrokerCore", "BrokerStore"]),
        "MartletPerf": Rule(ours: ["AMQPProtocol"], usesNIO: true, usesFoundation: true),
        "PlainJSON": Rule(others: []),
        "MartletCtl": Rule(ours: ["PlainJSON"], others: ["Darwin", "Glibc", "Musl"]),
        "martlet": Rule(
            ours: ["BrokerManagement", "BrokerServer", "MartletCtl", "MartletPerf"],
            usesFoundation: true
        ),
        "martlet-sim": Rule(ours: ["BrokerSimulation", "BrokerCore", "AMQPProtocol"], usesFoundation: true),
        "specgen": Rule(usesFoundation: true),
        "AllocationBudgets": Rule(
            ours: ["AMQPProtocol", "BrokerCore", "BrokerServer", "BrokerSimulation", "CAllocationCounter"],
            usesFoundation: true
        ),
        "Benchmarks": Rule(ours: ["AMQPProtocol", "BrokerCore", "BrokerSimulation"], usesFoundation: true),
    ]

    /// Every module of ours, by the names that an import uses.
    private static let ourModules: Set<String> = Set(
        rules.keys.map { $0 == "martlet-sim" ? "martlet_sim" : $0 } + ["CAllocationCounter", "CChecksum", "CMalloc"]
    )

    /// Why a target may not import a module, or nil when it may.
    static func objection(toImporting module: String, in target: String) -> String? {
        guard let rule = self.rules[target] else { return "\(target) has no import rule; add one" }
        if self.ourModules.contains(module) {
            return rule.ours.contains(module) ? nil : "\(target) must not import \(module)"
        }
        if module.hasPrefix("NIO") || module.hasPrefix("_NIO") {
            return rule.usesNIO ? nil : "\(target) must not import SwiftNIO (\(module))"
        }
        if module.hasPrefix("Foundation") {
            return rule.usesFoundation ? nil : "\(target) must not import \(module)"
        }
        if module.hasPrefix("Hummingbird") {
            return target == "BrokerManagement" ? nil : "\(target) must not import \(module)"
        }
        guard let others = rule.others else { return nil }
        return others.contains(module) ? nil : "\(target) must not import \(module)"
    }

    /// The modules that a file imports, submodules and single declarations reduced to their module.
    static func imports(in source: String) -> [String] {
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        return codeOnly(source).split(separator: "\n").compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" || $0 == ";" }
            guard let keyword = words.firstIndex(of: "import"),
                words[..<keyword].allSatisfy({ $0.hasPrefix("@") || self.accessLevels.contains($0) })
            else { return nil }
            let name = words[(keyword + 1)...].first { !kinds.contains($0) }
            return name.map { String($0.prefix { $0 != "." }) }
        }
    }

    private static let accessLevels: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
}
