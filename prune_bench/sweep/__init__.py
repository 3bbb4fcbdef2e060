"""Grid -> stages -> processes -> rows; whatever is finished is never done twice."""
