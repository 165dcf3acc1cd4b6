internal import BrokerServer
internal import Configuration

/// The places configuration comes from, strongest first: flags, environment, file.
///
/// Defaults are not a source: whoever reads a setting knows its default.
struct ConfigurationSources: Sendable {
    /// One place, and how it calls a setting when it has to complain.
    private struct Source: Sendable {
        var provider: any ConfigProvider
        var name: @Sendable (Setting) -> String
    }

    private var sources: [Source] = []
    /// What the configuration file has that we do not know; one warning each.
    private(set) var unknownKeys: [String] = []

    /// Puts the sources together; `configFile` nil for none.
    init(
        flags: [Setting: ConfigValue],
        environment: [String: String],
        configFile: String?
    ) throws(StartFailure) {
        let values = Dictionary(uniqueKeysWithValues: flags.map { (AbsoluteConfigKey($0.components), $1) })
        self.sources.append(Source(provider: InMemoryProvider(name: "flags", values: values)) { $0.flag })
        // Other programs' variables are none of our business, and ours are found under the prefix only.
        let variables = EnvironmentVariablesProvider(
            environmentVariables: environment.filter { $0.key.hasPrefix("MARTLET_") },
            secretsSpecifier: .specific([Setting.defaultPassword.environmentVariable])
        )
        self.sources.append(
            Source(provider: variables.prefixKeys(with: "martlet")) { $0.environmentVariable }
        )
        if let configFile {
            try self.addFile(configFile)
        }
    }

    private mutating func addFile(_ path: String) throws(StartFailure) {
        let file = try ConfigurationFile(path: path)
        let values = file.values.map { path, content in
            (
                AbsoluteConfigKey(path.split(separator: ".").map(String.init)),
                ConfigValue(content, isSecret: path == Setting.defaultPassword.rawValue)
            )
        }
        let provider = InMemoryProvider(name: "file", values: Dictionary(values) { first, _ in first })
        self.sources.append(Source(provider: provider) { "\($0.rawValue) in \(path)" })
        let known = Set(Setting.allCases.map(\.rawValue))
        for path in file.unusable where known.contains(path) {
            throw StartFailure(
                "\(path) in the configuration file has no value that a setting can have",
                isConfiguration: true
            )
        }
        self.unknownKeys = file.paths.filter { !known.contains($0) }.sorted()
    }

    // MARK: Reading

    /// A whole number within bounds.
    func integer(_ setting: Setting, in range: ClosedRange<Int>) throws(StartFailure) -> Int? {
        let what = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let (content, name) = try self.lookup(setting, .int, what), case .int(let value) = content
        else { return nil }
        guard range.contains(value) else { throw Self.failure(name, what) }
        return value
    }

    /// A text that is not empty.
    func text(_ setting: Setting) throws(StartFailure) -> String? {
        guard let (content, name) = try self.lookup(setting, .string, "a text"), case .string(let value) = content
        else { return nil }
        guard !value.isEmpty else { throw Self.failure(name, "a text that is not empty") }
        return value
    }

    /// One of a few words.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ setting: Setting,
        of type: Choice.Type
    ) throws(StartFailure) -> Choice? {
        let what = "one of \(type.allCases.map(\.rawValue).joined(separator: ", "))"
        guard let (content, name) = try self.lookup(setting, .string, what), case .string(let value) = content
        else { return nil }
        guard let choice = Choice(rawValue: value) else { throw Self.failure(name, what) }
        return choice
    }

    /// Yes or no.
    func flag(_ setting: Setting) throws(StartFailure) -> Bool? {
        guard let (content, _) = try self.lookup(setting, .bool, "true or false"), case .bool(let value) = content
        else { return nil }
        return value
    }

    /// A list of texts; separated by commas in the environment.
    func texts(_ setting: Setting) throws(StartFailure) -> [String]? {
        guard let (content, name) = try self.lookup(setting, .stringArray, "a list of texts"),
            case .stringArray(let values) = content
        else { return nil }
        guard !values.isEmpty else { throw Self.failure(name, "a list that is not empty") }
        return values
    }

    /// An amount of memory, written as ``ByteSize`` says; a bare number is octets.
    func size(_ setting: Setting, total: UInt64, atLeast minimum: UInt64) throws(StartFailure) -> UInt64? {
        let what = "a size such as 512MiB, 2GB or 40%, at least \(minimum) octets"
        for source in self.sources {
            do {
                guard let text = try Self.sizeText(setting, from: source.provider) else { continue }
                if let size = ByteSize.parse(text, total: total), size >= minimum { return size }
            } catch {
                // Neither a text nor a number; said below.
            }
            throw Self.failure(source.name(setting), what)
        }
        return nil
    }

    /// A size as it is written; a number, which only the file has, is none of the library's texts.
    private static func sizeText(_ setting: Setting, from provider: any ConfigProvider) throws -> String? {
        let key = AbsoluteConfigKey(setting.components)
        if case .string(let text) = try? provider.value(forKey: key, type: .string).value?.content { return text }
        if case .int(let octets) = try provider.value(forKey: key, type: .int).value?.content { return "\(octets)" }
        return nil
    }

    /// The strongest source's value, and how that source calls the setting.
    private func lookup(
        _ setting: Setting,
        _ type: ConfigType,
        _ what: String
    ) throws(StartFailure) -> (ConfigContent, String)? {
        for source in self.sources {
            do {
                let result = try source.provider.value(forKey: AbsoluteConfigKey(setting.components), type: type)
                if let value = result.value { return (value.content, source.name(setting)) }
            } catch {
                throw Self.failure(source.name(setting), what)
            }
        }
        return nil
    }

    private static func failure(_ name: String, _ what: String) -> StartFailure {
        StartFailure("\(name) must be \(what)", isConfiguration: true)
    }
}
