import { type KafkaPlace, open } from '../kafka-scene.ts'

await open(JSON.parse(process.argv[2]!) as KafkaPlace, true).run()
