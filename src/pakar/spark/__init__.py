"""Starting and ending Apache Spark, for the stages that can use it."""
