// Prints what an Apache Kafka knows of its configuration keys, as tests/vectors/kafka_keys/<version>.json holds it:
//
//     java -cp '<a Kafka's jars>/*' tests/java/ListKafkaKeys.java
//
// Kafka moved these classes between 3.9 and 4.x and made some of them Scala objects, so all is found by reflection.

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.types.Password;

public final class ListKafkaKeys {
    private record Place(String className, String member) {}

    public static void main(String[] arguments) throws Exception {
        Map<?, ?> modes = (Map<?, ?>) first(
            new Place("org.apache.kafka.server.config.DynamicBrokerConfig", "dynamicConfigUpdateModes"),
            new Place("kafka.server.DynamicBrokerConfig$", "dynamicConfigUpdateModes"));
        ConfigDef broker = (ConfigDef) first(
            new Place("org.apache.kafka.server.config.AbstractKafkaConfig", "CONFIG_DEF"),
            new Place("kafka.server.KafkaConfig$", "configDef"));
        Class<?> logConfig = Class.forName("org.apache.kafka.storage.internals.log.LogConfig");
        ConfigDef topic = (ConfigDef) logConfig.getMethod("configDefCopy").invoke(null);
        // Groups have had configurations of their own since 4.0.
        ConfigDef group = (ConfigDef) firstOrNull(
            new Place("org.apache.kafka.coordinator.group.GroupConfig", "CONFIG_DEF"));
        ConfigDef metrics = (ConfigDef) first(
            new Place("org.apache.kafka.server.metrics.ClientMetricsConfigs", "configDef"));
        Map<?, ?> topicSynonyms = (Map<?, ?>) first(
            new Place("org.apache.kafka.server.config.ServerTopicConfigSynonyms", "ALL_TOPIC_CONFIG_SYNONYMS"));
        Map<?, ?> groupSynonyms = (Map<?, ?>) firstOrNull(
            new Place("org.apache.kafka.coordinator.group.GroupConfig", "ALL_GROUP_CONFIG_SYNONYMS"));

        List<String> kinds = new ArrayList<>();
        kinds.add(kind("broker", broker, name -> "\"update\": " + text(modes.containsKey(name) ? modes.get(name) : "read-only")));
        kinds.add(kind("topic", topic, name -> "\"synonyms\": " + synonyms(topicSynonyms.get(name))));
        kinds.add(kind("group", group == null ? new ConfigDef() : group, name -> "\"synonyms\": " + synonyms(groupSynonyms == null ? null : groupSynonyms.get(name))));
        kinds.add(kind("client-metrics", metrics, name -> "\"synonyms\": []"));
        System.out.println("{\n" + String.join(",\n", kinds) + "\n}");
    }

    private interface More {
        String of(String name) throws Exception;
    }

    private static String kind(String name, ConfigDef definition, More more) throws Exception {
        List<String> lines = new ArrayList<>();
        for (ConfigDef.ConfigKey key : new TreeMap<>(definition.configKeys()).values()) {
            Object value = key.defaultValue;
            String shown;
            if (value == ConfigDef.NO_DEFAULT_VALUE || value == null) {
                shown = "null";
            } else if (value instanceof Password) {
                shown = text(((Password) value).value());
            } else {
                shown = text(ConfigDef.convertToString(value, key.type));
            }
            lines.add("  " + text(key.name) + ": {\"type\": " + text(key.type) + ", \"default\": " + shown
                + ", \"importance\": " + text(key.importance) + ", \"internal\": " + key.internalConfig
                + ", \"range\": " + (key.validator == null ? "null" : text(key.validator)) + ", " + more.of(key.name) + "}");
        }
        return " " + text(name) + (lines.isEmpty() ? ": {}" : ": {\n" + String.join(",\n", lines) + "\n }");
    }

    private static String synonyms(Object found) throws Exception {
        List<String> names = new ArrayList<>();
        if (found instanceof java.util.Optional<?> optional) {
            optional.ifPresent(name -> names.add(text(name)));
        } else if (found != null) {
            for (Object synonym : (Collection<?>) found) {
                names.add(text(synonym.getClass().getMethod("name").invoke(synonym)));
            }
        }
        return "[" + String.join(", ", names) + "]";
    }

    private static Object first(Place... places) throws Exception {
        Object found = firstOrNull(places);
        if (found == null) {
            throw new ClassNotFoundException(places[0].className());
        }
        return found;
    }

    private static Object firstOrNull(Place... places) throws Exception {
        for (Place place : places) {
            Class<?> type;
            try {
                type = Class.forName(place.className());
            } catch (ClassNotFoundException missing) {
                continue;
            }
            Object owner = null;
            for (Field field : type.getDeclaredFields()) {
                if (field.getName().equals("MODULE$")) {
                    owner = field.get(null);
                }
            }
            for (Field field : type.getDeclaredFields()) {
                if (field.getName().equals(place.member())) {
                    field.setAccessible(true);
                    return field.get(owner);
                }
            }
            for (Method method : type.getDeclaredMethods()) {
                if (method.getName().equals(place.member()) && method.getParameterCount() == 0) {
                    method.setAccessible(true);
                    return method.invoke(owner);
                }
            }
        }
        return null;
    }

    private static String text(Object value) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char character : String.valueOf(value).toCharArray()) {
            if (character == '"' || character == '\\') {
                quoted.append('\\');
            }
            quoted.append(character);
        }
        return quoted.append('"').toString();
    }
}
